// One page of this browser leads at a time: the browser's lock decides, or messages where it has none.

/** A leader that was silent for so long is gone: two of its beats were missed. */
const GONE_MS = 5_000;
const BEAT_MS = 2_000;
/** How long a page that wants to lead waits for an objection. */
const OBJECT_MS = 300;

type Message = { kind: "claim" | "beat" | "gone"; from: string };

/**
 * Call `lead` when it is this page's turn, with a signal that says when the turn is over.
 * The page stays a candidate until `signal` is aborted.
 */
export function leadInTurn(name: string, signal: AbortSignal, lead: (turn: AbortSignal) => void): void {
  // A page without a secure origin (plain HTTP, and not this machine) has no locks.
  if (!("locks" in navigator)) {
    new Election(`${name}-leader`, signal, lead);
    return;
  }
  navigator.locks
    .request(name, { signal }, () => {
      lead(signal);
      return new Promise<void>((done) => signal.addEventListener("abort", () => done()));
    })
    .catch(() => undefined); // hidden before it was our turn
}

/**
 * A bully election: the lowest id leads. Two leaders, as after a suspended page woke, hear each
 * other's beat, and the higher id steps down. (Garcia-Molina, Elections in a Distributed Computing System, 1982)
 */
class Election {
  readonly #id = String(Math.random());
  readonly #channel: BroadcastChannel;
  readonly #lead: (turn: AbortSignal) => void;
  #turn: AbortController | null = null;
  #claiming = false;
  #timer = 0;

  constructor(name: string, signal: AbortSignal, lead: (turn: AbortSignal) => void) {
    this.#lead = lead;
    this.#channel = new BroadcastChannel(name);
    this.#channel.addEventListener("message", (event: MessageEvent<Message>) => this.#receive(event.data));
    signal.addEventListener("abort", () => this.#leave());
    this.#claim();
  }

  #claim(): void {
    this.#claiming = true;
    this.#send("claim");
    this.#after(OBJECT_MS, () => {
      this.#claiming = false;
      this.#turn = new AbortController();
      this.#beat();
      this.#lead(this.#turn.signal);
    });
  }

  #beat(): void {
    this.#send("beat");
    this.#after(BEAT_MS, () => this.#beat());
  }

  #receive({ kind, from }: Message): void {
    if (kind === "gone") {
      if (this.#turn === null && !this.#claiming) this.#claim();
    } else if (this.#turn !== null) {
      if (kind === "beat" && from < this.#id) this.#follow();
      else this.#send("beat");
    } else if (kind === "beat" || !this.#claiming || from < this.#id) {
      this.#follow();
    } else {
      this.#send("claim"); // it claims as well, and has not heard this page's claim
    }
  }

  #follow(): void {
    this.#claiming = false;
    this.#turn?.abort();
    this.#turn = null;
    this.#after(GONE_MS, () => this.#claim());
  }

  #leave(): void {
    window.clearTimeout(this.#timer);
    this.#turn?.abort();
    if (this.#turn !== null) this.#send("gone");
    this.#channel.close();
  }

  #send(kind: Message["kind"]): void {
    this.#channel.postMessage({ kind, from: this.#id } satisfies Message);
  }

  #after(milliseconds: number, next: () => void): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(next, milliseconds);
  }
}
