// Keeps what is being typed in this tab, so that going back, a reload or a new sign-in loses nothing.
// It belongs to one customer, and is gone when the form has been taken or the tab is closed.

import { addBreak } from "./breaks.ts";

const TOKEN = "csrfmiddlewaretoken";
/** Kept with what was typed: sent once more after an answer that never came, it counts only once. */
const KEY = "idempotency_key";

type Draft = { customer: string; values: [string, string][] };

/** Bring back what was typed before, unless the page already says it, and keep what is typed now. */
export function keepDraft(form: HTMLFormElement): void {
  const again = document.querySelector("#trouble") !== null;
  const draft = again ? null : read(form);
  if (draft) {
    fill(form, draft.values);
    offerToForget(form);
  }
  form.addEventListener("input", () => {
    const values = [...new FormData(form)].filter(([name, value]) => name !== TOKEN && value !== "");
    const kept = { customer: customer(), values } as Draft;
    window.sessionStorage.setItem(key(form), JSON.stringify(kept));
  });
}

/** Forget what was typed: it has been taken. */
export function forgetDraft(form: HTMLFormElement): void {
  if (form.dataset["draft"]) window.sessionStorage.removeItem(key(form));
}

function read(form: HTMLFormElement): Draft | null {
  const draft = JSON.parse(window.sessionStorage.getItem(key(form)) ?? "null") as Draft | null;
  if (draft && draft.customer !== customer()) {
    forgetDraft(form); // somebody else was signed in here
    return null;
  }
  return draft?.values.some(([name]) => name !== KEY) ? draft : null;
}

function fill(form: HTMLFormElement, values: [string, string][]): void {
  const breaks = form.querySelector<HTMLElement>("[data-breaks]");
  const most = Number(breaks?.dataset["most"]);
  for (const [name, value] of values) {
    const number = Number(name.split("-")[1]);
    for (let n = 1; breaks && number <= most && n < most; n += 1) {
      const row = form.elements.namedItem(name);
      if (row instanceof Element && !row.closest(".spare")) break;
      addBreak(breaks);
    }
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) field.value = value;
  }
}

function offerToForget(form: HTMLFormElement): void {
  const note = document.createElement("p");
  note.className = "waits";
  note.textContent = "What you typed before is back. ";
  const anew = document.createElement("button");
  anew.type = "button";
  anew.className = "link";
  anew.textContent = "Start over";
  anew.addEventListener("click", () => {
    forgetDraft(form);
    window.location.assign(form.action);
  });
  note.append(anew);
  form.before(note);
}

function key(form: HTMLFormElement): string {
  return `portal-draft-${form.dataset["draft"]}`;
}

function customer(): string {
  return document.body.dataset["customer"] ?? "";
}
