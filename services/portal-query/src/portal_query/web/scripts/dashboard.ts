// The dashboard: draw what the page brings, ask for the rest, and follow what changes.

import { showFailure, showFigures, showStatuses, type Labels } from "./cards.ts";
import {
  FailedAnswer,
  isNewer,
  loadFigures,
  SignedOut,
  timeOf,
  type Figures,
  type StatusCount,
  type Version,
} from "./figures.ts";
import { follow } from "./live.ts";
import { Standing } from "./standing.ts";
import { repairs, total } from "./words.ts";

interface PageState extends Version {
  as_of: string | null;
  time_zone: string;
  current_month: string | null;
  labels: Record<string, string>;
}

const REDRAW_AFTER_MS = 150;
const ANNOUNCE_EVERY_MS = 10_000;
const RETRY_MS = 5_000;

function data<Value>(id: string): Value {
  return JSON.parse(document.getElementById(id)?.textContent ?? "null") as Value;
}

class Dashboard {
  readonly #page = data<PageState>("portal_state");
  readonly #statuses = data<StatusCount[]>("repair_status_counts");
  readonly #labels: Labels;
  readonly #standing: Standing;
  #figures: Figures | null = null;
  #seen: Version;
  #asking: AbortController | null = null;
  #announced = -ANNOUNCE_EVERY_MS;
  #retry = 0;

  constructor(line: HTMLElement) {
    this.#seen = { refold: this.#page.refold, revision: this.#page.revision };
    this.#labels = { statuses: this.#page.labels, currentMonth: this.#page.current_month };
    this.#standing = new Standing(line, timeOf(this.#page.as_of), this.#page.time_zone);
  }

  start(): void {
    showStatuses(this.#statuses, this.#labels);
    void this.load();
    follow({
      newer: (version) => this.#newer(version),
      poll: () => void this.load(),
      live: (live) => this.#standing.live(live),
    });
    this.#redrawWhenResized();
  }

  /** Ask for all figures and draw them; what is on the page stays when that fails. */
  async load(): Promise<void> {
    window.clearTimeout(this.#retry);
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const held = this.#figures?.statuses ?? this.#statuses;
      const ours = this.#figures?.version ?? this.#page;
      const known = isNewer(this.#seen, ours) ? null : held;
      this.#draw(await loadFigures(this.#seen, known, asking.signal));
    } catch (error) {
      if (!asking.signal.aborted) this.#failed(error);
    }
  }

  #draw(figures: Figures): void {
    const before = this.#figures && total(this.#figures.statuses);
    const changed = this.#figures === null || isNewer(figures.version, this.#figures.version);
    this.#figures = figures;
    if (isNewer(figures.version, this.#seen)) this.#seen = figures.version;
    this.#standing.drawn(figures.asOf, figures.lag);
    if (!changed) return;
    showFigures(figures, this.#labels);
    if (before !== null) this.#announce(total(figures.statuses));
  }

  #newer(version: Version): void {
    if (!isNewer(version, this.#seen)) return;
    this.#seen = version;
    void this.load();
  }

  #failed(error: unknown): void {
    if (error instanceof SignedOut) {
      window.location.reload();
      return;
    }
    const answer = error instanceof FailedAnswer ? error : new FailedAnswer(0, null);
    const id = answer.requestId === null ? "" : ` (request ${answer.requestId})`;
    this.#standing.unreachable();
    showFailure(`The figures could not be loaded${id}.`, () => void this.load());
    this.#retry = window.setTimeout(() => void this.load(), RETRY_MS);
  }

  #announce(all: number): void {
    const now = performance.now();
    if (now - this.#announced < ANNOUNCE_EVERY_MS) return;
    this.#announced = now;
    const place = document.getElementById("announcement");
    if (place) place.textContent = `The figures have changed: ${repairs(all)} in all.`;
  }

  #redrawWhenResized(): void {
    let width = window.innerWidth;
    let timer = 0;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      window.clearTimeout(timer);
      timer = window.setTimeout(() => {
        if (this.#figures) showFigures(this.#figures, this.#labels);
      }, REDRAW_AFTER_MS);
    });
  }
}

const line = document.getElementById("standing");
if (line !== null) new Dashboard(line).start();
