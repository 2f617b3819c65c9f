// The line that says how recent the figures are: live, as of a time, standing still, or offline.
// While they stand still or cannot be asked for, each card says of when its figures are.

const STALE_SECONDS = 60;

export class Standing {
  readonly #element: HTMLElement;
  readonly #text: HTMLElement;
  readonly #aloud: HTMLElement;
  readonly #notes: NodeListOf<HTMLElement>;
  readonly #clock: Intl.DateTimeFormat;
  readonly #short: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;
  #asOf: Date | null;
  #lag: number | null = null;
  #live = false;
  #reachable = true;

  constructor(element: HTMLElement, asOf: Date | null, timeZone: string) {
    this.#element = element;
    const text = element.querySelector<HTMLElement>("[data-text]");
    const aloud = document.getElementById("announcement");
    if (text === null || aloud === null) throw new Error("the page lacks its line of time");
    this.#text = text;
    this.#aloud = aloud;
    this.#notes = document.querySelectorAll(".card [data-as-of]");
    this.#asOf = asOf;
    this.#clock = new Intl.DateTimeFormat("en-US", { timeStyle: "medium", timeZone });
    this.#short = new Intl.DateTimeFormat("en-US", { timeStyle: "short", timeZone });
    this.#day = new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeZone });
  }

  /** The figures on the page are complete until `asOf`, which was `lag` seconds ago. */
  drawn(asOf: Date | null, lag: number | null): void {
    this.#asOf = asOf;
    this.#lag = lag;
    this.#reachable = true;
    this.#show();
  }

  /** Changes arrive by themselves, or do not. */
  live(live: boolean): void {
    this.#live = live;
    this.#show();
  }

  /** The figures could not be asked for. */
  unreachable(): void {
    this.#reachable = false;
    this.#show();
  }

  #show(): void {
    const [state, text] = this.#words();
    const before = this.#element.dataset["state"] ?? "";
    this.#element.dataset["state"] = state;
    // The line itself is not read aloud, it changes all the time; that the figures are old, or no longer, is.
    if (state !== before && (isOld(state) || isOld(before))) this.#aloud.textContent = text;
    if (this.#text.textContent !== text) this.#text.textContent = text;
    const old = this.#asOf !== null && isOld(state);
    const note = old ? `as of ${this.#short.format(this.#asOf ?? undefined)}` : "";
    for (const place of this.#notes) place.textContent = note;
  }

  #words(): [string, string] {
    const at = this.#asOf;
    if (!this.#reachable) {
      const from = at === null ? "" : ` These are the figures of ${this.#clock.format(at)}.`;
      const why = navigator.onLine ? "The portal cannot be reached just now." : "You are offline.";
      return ["offline", `${why}${from}`];
    }
    if (at === null) return [this.#live ? "live" : "page", "How recent this is, is not known."];
    if (this.#lag !== null && this.#lag > STALE_SECONDS) {
      const when = `${this.#clock.format(at)}, ${this.#day.format(at)}`;
      return ["stale", `These figures stand at ${when}. What was recorded later may be missing.`];
    }
    const time = this.#clock.format(at);
    return this.#live ? ["live", `Live, as of ${time}`] : ["page", `As of ${time}`];
  }
}

function isOld(state: string): boolean {
  return state === "offline" || state === "stale";
}
