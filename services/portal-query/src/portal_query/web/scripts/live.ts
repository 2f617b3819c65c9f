// When to ask again: at once when the stream tells of a newer version, else every so often.
// All tabs of a browser share one stream: the tab that holds the lock has it and tells the others.

import type { Version } from "./figures.ts";
import { SIGNED_OUT } from "./session.ts";

const EVENTS = "/customer/api/events/";
const POLL_MS = 30_000;
const POLL_WITHOUT_STREAM_MS = 10_000;
const OPEN_AGAIN_MS = 30_000;
/** The server says every five seconds that it is there: twice it was not heard. */
const SILENT_MS = 12_500;

export interface Listener {
  newer(version: Version): void;
  poll(): void;
  live(live: boolean): void;
}

type Told = { newer: Version } | { live: boolean } | "anybody?";
type Revision = Version & { customer: number };

/** Follow the revisions of the customer that the page is for, while the page can be seen. */
export function follow(listener: Listener): void {
  new Following(listener, document.body.dataset["customer"] ?? "").start();
}

class Following {
  readonly #listener: Listener;
  readonly #customer: string;
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  #seen: AbortController | null = null;
  #stream: EventSource | null = null;
  #last: Version | null = null;
  #live = false;
  #timer = 0;
  #reopen = 0;
  #silence = 0;

  constructor(listener: Listener, customer: string) {
    this.#listener = listener;
    this.#customer = customer;
    this.#name = `portal-live-${customer}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener("message", (event: MessageEvent<Told>) => this.#hear(event.data));
  }

  start(): void {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#leave();
      else this.#join(true);
    });
    window.addEventListener("pagehide", () => this.#leave());
    window.addEventListener("online", () => this.#listener.poll());
    if (!document.hidden) this.#join(false);
  }

  #join(ask: boolean): void {
    if (this.#seen) return;
    const seen = new AbortController();
    this.#seen = seen;
    this.#pollIn(POLL_WITHOUT_STREAM_MS);
    if (ask) this.#listener.poll();
    // A page without a secure origin has no locks: then each tab has a stream of its own.
    if (!("locks" in navigator)) {
      this.#open();
      return;
    }
    this.#channel.postMessage("anybody?" satisfies Told);
    navigator.locks
      .request(this.#name, { signal: seen.signal }, () => this.#lead(seen.signal))
      .catch(() => undefined); // hidden before it was our turn
  }

  /** Hold the lock, and with it the stream, until the page is hidden. */
  #lead(hidden: AbortSignal): Promise<void> {
    this.#open();
    return new Promise((done) => hidden.addEventListener("abort", () => done()));
  }

  #leave(): void {
    this.#seen?.abort();
    this.#seen = null;
    this.#close();
    window.clearTimeout(this.#timer);
    this.#setLive(false);
  }

  #open(): void {
    const stream = new EventSource(EVENTS);
    this.#stream = stream;
    this.#heard();
    stream.addEventListener("open", () => this.#tell({ live: true }));
    for (const said of ["open", "alive", "revision"]) stream.addEventListener(said, () => this.#heard());
    stream.addEventListener("error", () => {
      this.#tell({ live: false });
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      this.#close();
      this.#reopen = window.setTimeout(() => this.#open(), OPEN_AGAIN_MS);
    });
    stream.addEventListener("revision", (event) => {
      const { customer, ...newer } = JSON.parse((event as MessageEvent<string>).data) as Revision;
      if (String(customer) === this.#customer) {
        this.#tell({ newer });
      } else {
        // Opened anew, it is a stream of whoever has signed in meanwhile.
        this.#close();
        document.dispatchEvent(new Event(SIGNED_OUT));
      }
    });
  }

  /** A server that hangs leaves its streams open: what says nothing for too long is opened anew. */
  #heard(): void {
    window.clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => {
      this.#tell({ live: false });
      this.#close();
      this.#open();
    }, SILENT_MS);
  }

  #close(): void {
    window.clearTimeout(this.#reopen);
    window.clearTimeout(this.#silence);
    this.#stream?.close();
    this.#stream = null;
  }

  #tell(told: Told): void {
    this.#channel.postMessage(told);
    this.#hear(told);
  }

  #hear(told: Told): void {
    if (told === "anybody?") {
      if (!this.#stream) return;
      this.#channel.postMessage({ live: this.#live } satisfies Told);
      if (this.#last) this.#channel.postMessage({ newer: this.#last } satisfies Told);
    } else if (this.#seen && "live" in told) {
      this.#setLive(told.live);
    } else if (this.#seen && "newer" in told) {
      this.#last = told.newer;
      this.#listener.newer(told.newer);
    }
  }

  #setLive(live: boolean): void {
    if (this.#live === live) return;
    this.#live = live;
    this.#listener.live(live);
    if (this.#seen) this.#pollIn(live ? POLL_MS : POLL_WITHOUT_STREAM_MS);
  }

  #pollIn(after: number): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      this.#listener.poll();
      this.#pollIn(this.#live ? POLL_MS : POLL_WITHOUT_STREAM_MS);
    }, after);
  }
}
