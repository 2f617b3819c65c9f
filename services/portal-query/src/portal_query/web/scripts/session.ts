// Says in time that the session is about to end, and keeps the page as it is when it has: whoever
// signs in again comes back to the same address, filters and all.

/** Told on the document by whoever is led to the sign-in page. */
export const SIGNED_OUT = "portal:signed-out";

const SESSION = "/accounts/session/";
const WARN_SECONDS = 120;
const LOOK_AGAIN_MS = 15_000;
const RETRY_MS = 60_000;
const LONGEST_MS = 2 ** 31 - 1;

type About = "ending" | "ended";

export function guardSession(dialog: HTMLDialogElement): void {
  new Guard(dialog).start();
}

class Guard {
  readonly #dialog: HTMLDialogElement;
  #timer = 0;

  constructor(dialog: HTMLDialogElement) {
    this.#dialog = dialog;
  }

  start(): void {
    this.#part("[data-stay]").addEventListener("click", () => void this.#ask("POST"));
    const back = window.location.pathname + window.location.search;
    this.#part<HTMLAnchorElement>("[data-sign-in]").href = `/accounts/login/?next=${encodeURIComponent(back)}`;
    // While the session lasts, Escape means: I am still there. When it has ended, nothing closes this.
    this.#dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this.#dialog.dataset["about"] === "ending") void this.#ask("POST");
    });
    document.addEventListener(SIGNED_OUT, () => void this.#ask("GET"));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.#ask("GET");
    });
    void this.#ask("GET");
  }

  /** Ask how long the session lasts (GET leaves it as it is, POST prolongs it), and act on it. */
  async #ask(method: "GET" | "POST"): Promise<void> {
    window.clearTimeout(this.#timer);
    const left = await secondsLeft(method);
    if (left === null) this.#askAfter(RETRY_MS);
    else if (left <= 0) this.#show("ended", 0);
    else if (left <= WARN_SECONDS) {
      this.#show("ending", left);
      this.#askAfter(Math.min(LOOK_AGAIN_MS, left * 1000 + 500));
    } else {
      this.#dialog.close();
      this.#askAfter((left - WARN_SECONDS) * 1000);
    }
  }

  #askAfter(after: number): void {
    this.#timer = window.setTimeout(() => void this.#ask("GET"), Math.min(after, LONGEST_MS));
  }

  #show(about: About, left: number): void {
    this.#dialog.dataset["about"] = about;
    const [title, text] =
      about === "ended"
        ? ["You have been signed out", "Sign in again to go on where you are."]
        : ["Are you still there?", `Nothing has happened here for a while: you will be signed out ${inWords(left)}.`];
    this.#part("h2").textContent = title ?? "";
    const place = this.#part("p");
    if (place.textContent !== text) place.textContent = text ?? "";
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  #part<Kind extends HTMLElement>(selector: string): Kind {
    return this.#dialog.querySelector<Kind>(selector) as Kind;
  }
}

/** Return for how long the session lasts, 0 when it has ended, null when nobody could say. */
async function secondsLeft(method: "GET" | "POST"): Promise<number | null> {
  const token = document.querySelector<HTMLInputElement>('[name="csrfmiddlewaretoken"]')?.value ?? "";
  const headers = method === "POST" ? { "X-CSRFToken": token } : {};
  try {
    const answer = await fetch(SESSION, { method, headers, redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect" || answer.status === 401) return 0;
    if (!answer.ok) return null;
    return ((await answer.json()) as { ends_in: number }).ends_in;
  } catch {
    return null;
  }
}

function inWords(seconds: number): string {
  return seconds > 75 ? "in about two minutes" : seconds > 30 ? "in about a minute" : "in a few seconds";
}
