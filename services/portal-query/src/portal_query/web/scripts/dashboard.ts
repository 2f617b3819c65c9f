// The dashboard: draw what the page brings, ask for the rest, and follow what changes.

import { Cards } from "./cards.ts";
import {
  FailedAnswer,
  isNewer,
  isSame,
  loadSnapshot,
  OtherCustomer,
  PATHS,
  SignedOut,
  timeOf,
  type Held,
  type Part,
  type Parts,
  type Snapshot,
  type StatusCount,
  type Version,
} from "./figures.ts";
import { follow } from "./live.ts";
import { newestShown } from "./seen.ts";
import { SIGNED_OUT } from "./session.ts";
import { Standing } from "./standing.ts";
import { monthAt, repairs, total } from "./words.ts";

interface PageState extends Version {
  parts: Partial<Parts>;
  as_of: string | null;
  time_zone: string;
  current_month: string;
  labels: Record<string, string>;
}

const ANNOUNCE_EVERY_MS = 10_000;
const RETRY_MS = 5_000;

function data<Value>(id: string): Value {
  return JSON.parse(document.getElementById(id)?.textContent ?? "null") as Value;
}

class Dashboard {
  readonly #cards: Cards;
  readonly #standing: Standing;
  readonly #timeZone: string;
  readonly #customer = document.body.dataset["customer"] ?? "";
  #held: Held;
  #seen: Version;
  #complete = false;
  #loading = false;
  #wanted = false;
  #polled = false;
  #serverTime: Date | null = null;
  #announced = -ANNOUNCE_EVERY_MS;
  #announcing = 0;
  #retry = 0;

  constructor(line: HTMLElement, page: PageState) {
    const version = { refold: page.refold, revision: page.revision };
    const statuses = data<StatusCount[]>("repair_status_counts");
    this.#held = { version, parts: { ...page.parts, statuses } };
    this.#seen = newestShown() ?? version;
    this.#timeZone = page.time_zone;
    this.#standing = new Standing(line, timeOf(page.as_of), page.time_zone);
    const setting = { labels: page.labels, timeZone: page.time_zone, currentMonth: page.current_month };
    this.#cards = new Cards(setting, () => void this.load());
  }

  start(): void {
    this.#cards.show({ parts: this.#held.parts, failed: {} });
    void this.load();
    follow({
      newer: (version) => this.#newer(version),
      poll: () => this.#poll(),
      live: (live) => this.#standing.live(live),
    });
    window.addEventListener("offline", () => this.#standing.unreachable());
    this.#redrawWhenResized();
  }

  /** Ask for what is not held at the newest version seen, and draw it; one after the other. */
  async load(): Promise<void> {
    this.#wanted = true;
    if (this.#loading) return;
    this.#loading = true;
    window.clearTimeout(this.#retry);
    while (this.#wanted) {
      this.#wanted = false;
      try {
        this.#draw(await loadSnapshot(this.#seen, this.#atHand(), this.#customer));
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#loading = false;
  }

  /** What need not be asked for; at a poll one part says whether all the others still hold. */
  #atHand(): Held {
    const parts = { ...this.#held.parts };
    if (this.#polled) {
      delete parts.statuses;
      if (this.#monthIsOver()) delete parts.figures;
    }
    this.#polled = false;
    return { version: this.#held.version, parts };
  }

  /** The figures depend on the month as well as on the version. A browser's clock may be wrong: the server's counts too. */
  #monthIsOver(): boolean {
    const now = [new Date(), ...(this.#serverTime ? [this.#serverTime] : [])];
    return now.some((time) => monthAt(time, this.#timeZone) !== monthOf(this.#held));
  }

  #draw(snapshot: Snapshot): void {
    const before = this.#held.parts.statuses;
    const changed =
      !this.#complete || !isSame(snapshot.version, this.#held.version) || monthOf(snapshot) !== monthOf(this.#held);
    this.#serverTime = snapshot.sentAt ?? this.#serverTime;
    this.#complete = Object.keys(snapshot.failed).length === 0;
    this.#held = snapshot;
    if (isNewer(snapshot.version, this.#seen)) this.#seen = snapshot.version;
    if (snapshot.asOf !== null) this.#standing.drawn(snapshot.asOf, snapshot.lag);
    if (!this.#complete) this.#retryLater();
    if (!changed) return;
    this.#cards.show(snapshot);
    const now = snapshot.parts.statuses;
    if (before && now && JSON.stringify(before) !== JSON.stringify(now)) this.#announce();
  }

  #newer(version: Version): void {
    if (!isNewer(version, this.#seen)) return;
    this.#seen = version;
    void this.load();
  }

  #poll(): void {
    this.#polled = true;
    void this.load();
  }

  #failed(error: unknown): void {
    if (error instanceof OtherCustomer) {
      window.location.reload();
    } else if (error instanceof SignedOut) {
      document.dispatchEvent(new Event(SIGNED_OUT));
    } else if (error instanceof FailedAnswer) {
      this.#standing.unreachable();
      const lacking = (Object.keys(PATHS) as Part[]).filter((part) => !this.#held.parts[part]);
      this.#cards.show({ parts: this.#held.parts, failed: Object.fromEntries(lacking.map((part) => [part, error])) });
      this.#retryLater();
    } else {
      throw error;
    }
  }

  #retryLater(): void {
    window.clearTimeout(this.#retry);
    this.#retry = window.setTimeout(() => {
      if (!document.hidden) void this.load();
    }, RETRY_MS);
  }

  /** Say what has changed, but not more often than somebody wants to hear. */
  #announce(): void {
    window.clearTimeout(this.#announcing);
    const wait = Math.max(0, this.#announced + ANNOUNCE_EVERY_MS - performance.now());
    this.#announcing = window.setTimeout(() => {
      this.#announced = performance.now();
      const place = document.getElementById("announcement");
      const statuses = this.#held.parts.statuses ?? [];
      if (place) place.textContent = `The figures have changed: ${repairs(total(statuses))} in all.`;
    }, wait);
  }

  #redrawWhenResized(): void {
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      window.requestAnimationFrame(() => this.#cards.redraw());
    });
  }
}

function monthOf({ parts }: Held): string | undefined {
  return parts.figures?.completed_this_month.month;
}

const line = document.getElementById("standing");
if (line !== null) new Dashboard(line, data<PageState>("portal_state")).start();
