// Sends a form without leaving the page: the same form to the same address as without a script.
// A page that comes back takes this one's place; where the answer leads elsewhere, we go.

import { forgetDraft } from "./draft.ts";

/** Longer than the portal takes for any answer. */
const TIMEOUT_MS = 30_000;

let sending = false;

/** Send every form with `data-send` in place; `arrive` makes an answer's page ready. */
export function sendInPlace(arrive: () => void): void {
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (!form.matches("form[data-send]")) return;
    event.preventDefault();
    // The second click of a double click asks for what is under way.
    if (!sending) void send(form, event.submitter, arrive);
  });
}

async function send(form: HTMLFormElement, button: HTMLElement | null, arrive: () => void): Promise<void> {
  sending = true;
  busy(form, true);
  try {
    const body = new URLSearchParams();
    for (const [name, value] of new FormData(form, button)) body.append(name, String(value));
    const answer = await fetch(form.action, { method: "POST", body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("body[data-customer] #main");
    if (answer.redirected) {
      // It leads to where the change is seen, or to the sign-in page: then it has not been taken.
      if (!new URL(answer.url).pathname.startsWith("/accounts/")) forgetDraft(form);
      window.location.assign(answer.url);
    } else if (main && page.body.dataset["customer"] === document.body.dataset["customer"]) {
      document.querySelector("#main")?.replaceWith(document.adoptNode(main));
      document.title = page.title;
      sending = false;
      arrive();
    } else if (answer.status < 500 && answer.status !== 429) {
      leave(form, button);
    } else {
      fail(form, page.querySelector("h1")?.textContent ?? "The portal cannot answer just now");
    }
  } catch {
    fail(form, "The portal cannot be reached just now");
  }
}

/** Send the form as a browser does: whoever has been signed out finds what she typed after signing in. */
function leave(form: HTMLFormElement, button: HTMLElement | null): void {
  if (button instanceof HTMLButtonElement && button.name) {
    const chosen = document.createElement("input");
    Object.assign(chosen, { type: "hidden", name: button.name, value: button.value });
    form.append(chosen);
  }
  form.submit();
}

function fail(form: HTMLFormElement, why: string): void {
  sending = false;
  busy(form, false);
  const place = form.querySelector("[data-failed]") ?? form.insertBefore(document.createElement("p"), form.firstChild);
  place.className = "trouble";
  place.setAttribute("data-failed", "");
  place.setAttribute("role", "alert");
  place.textContent = `${why}. Nothing is lost: what you entered is still here. Please send it again; it counts only once.`;
}

function busy(form: HTMLFormElement, on: boolean): void {
  for (const button of form.querySelectorAll<HTMLButtonElement>("button[type=submit]")) {
    button.setAttribute("aria-disabled", String(on));
  }
  form.setAttribute("aria-busy", String(on));
}
