// When to ask again: at once when the stream tells of a newer version, and every so often whatever it does.
// All tabs of a browser share one stream: its leader opens it and passes on every event.

import type { Version } from "./figures.ts";
import { leadInTurn } from "./leader.ts";
import { SIGNED_OUT } from "./session.ts";

const EVENTS = "/customer/api/events/";
const POLL_MS = 10_000;
/** While events arrive, only every third poll is sent: what a stream has lost is found all the same. */
const POLLS_A_LIVE_POLL = 3;
/** The longest wait before a stream without events is opened again: doubled each time, half of it random. */
const REOPEN_MS = 2_000;
const REOPEN_MOST_MS = 300_000;
/** The server sends an event every five seconds: two were missed. */
const SILENT_MS = 12_500;

export interface Listener {
  newer(version: Version): void;
  poll(): void;
  live(live: boolean): void;
}

type Told = { newer: Version } | { live: boolean } | "anybody?";
/** An older release sends the customer as a number. */
type Revision = Version & { customer: string | number };

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
  #polls = 0;
  #skipped = 0;
  #reopen = 0;
  #reopened = 0;
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
    this.#seen = new AbortController();
    // No state of the stream moves this timer: a proxy that holds back its events would stop the polls.
    this.#polls = window.setInterval(() => this.#poll(), POLL_MS);
    if (ask) this.#listener.poll();
    this.#channel.postMessage("anybody?" satisfies Told);
    leadInTurn(this.#name, this.#seen.signal, (turn) => {
      turn.addEventListener("abort", () => {
        this.#close();
        if (this.#seen) this.#expectAnEvent(); // another tab leads now
      });
      this.#open();
    });
  }

  #leave(): void {
    const seen = this.#seen;
    this.#seen = null;
    seen?.abort();
    window.clearInterval(this.#polls);
    window.clearTimeout(this.#silence);
    this.#setLive(false);
  }

  #poll(): void {
    this.#skipped += 1;
    if (this.#live && this.#skipped < POLLS_A_LIVE_POLL) return;
    this.#skipped = 0;
    this.#listener.poll();
  }

  #open(): void {
    const stream = new EventSource(EVENTS);
    this.#stream = stream;
    this.#expectAnEvent();
    // An open connection proves nothing, a proxy answers for it at once: only an event does.
    stream.addEventListener("alive", () => this.#tell({ live: true }));
    stream.addEventListener("revision", (event) => this.#revision((event as MessageEvent<string>).data));
    stream.addEventListener("error", () => {
      this.#tell({ live: false });
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      this.#openLater();
    });
  }

  #openLater(): void {
    this.#close();
    const most = Math.min(REOPEN_MOST_MS, REOPEN_MS * 2 ** this.#reopened);
    this.#reopened += 1;
    this.#reopen = window.setTimeout(() => this.#open(), most * (0.5 + Math.random() / 2));
  }

  #revision(data: string): void {
    const { customer, ...newer } = JSON.parse(data) as Revision;
    if (String(customer) === this.#customer) {
      this.#tell({ live: true });
      this.#tell({ newer });
    } else {
      // Opened anew, it is a stream of whoever has signed in meanwhile.
      this.#tell({ live: false });
      this.#close();
      document.dispatchEvent(new Event(SIGNED_OUT));
    }
  }

  /** A server that hangs leaves its streams open: the leader opens a silent one anew, and no tab calls it live. */
  #expectAnEvent(): void {
    window.clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => {
      this.#setLive(false);
      if (this.#stream) this.#openLater();
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
      if (!this.#stream || !this.#live) return;
      this.#channel.postMessage({ live: true } satisfies Told);
      if (this.#last) this.#channel.postMessage({ newer: this.#last } satisfies Told);
    } else if (this.#seen && "live" in told) {
      if (told.live) {
        this.#reopened = 0;
        this.#expectAnEvent();
      }
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
  }
}
