// Says in time that the session is about to end, and keeps the page as it is when it has: whoever
// signs in again comes back to the same address, filters and all.

/** Told on the document by whoever finds that the visitor is signed in no more, or is another one now. */
export const SIGNED_OUT = "portal:signed-out";

const SESSION = "/accounts/session/";
const WARN_SECONDS = 120;
const LOOK_AGAIN_MS = 15_000;
const RETRY_MS = 60_000;
const LONGEST_MS = 2 ** 31 - 1;
const TIMEOUT_MS = 10_000;

interface Session {
  ends_in: number;
  /** A gateway of an earlier release sends a number, or nothing. */
  customer?: string | number | null;
}

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
    const session = await askFor(method);
    const left = session?.ends_in ?? null;
    if (left === null) this.#askAfter(RETRY_MS);
    else if (session !== null && left > 0 && isAnother(session)) window.location.reload();
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

/** Say whether a session is of another customer than the page: what that one sees may not stay here. */
function isAnother(session: Session): boolean {
  const customer = document.body.dataset["customer"];
  return customer !== undefined && session.customer !== undefined && customer !== String(session.customer);
}

/** Return the session that there is, one without time when it has ended, null when nobody could say. */
async function askFor(method: "GET" | "POST"): Promise<Session | null> {
  const token = document.querySelector<HTMLInputElement>('[name="csrfmiddlewaretoken"]')?.value ?? "";
  const headers = method === "POST" ? { "X-CSRFToken": token } : {};
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(SESSION, { method, headers, redirect: "manual", cache: "no-store", signal });
    if (answer.type === "opaqueredirect" || answer.status === 401) return { ends_in: 0 };
    return answer.ok ? ((await answer.json()) as Session) : null;
  } catch {
    return null;
  }
}

function inWords(seconds: number): string {
  return seconds > 75 ? "in about two minutes" : seconds > 30 ? "in about a minute" : "in a few seconds";
}
