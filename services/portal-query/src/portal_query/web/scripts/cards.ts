// The figures and the cards of the page, all drawn from one set of figures; a card whose part could
// not be had says so, and the others stand.

import { drawUnits } from "./bars.ts";
import { Changes } from "./changes.ts";
import type { Change, FailedAnswer, MonthCount, Part, Parts, RepairFigures, Snapshot, StatusCount, UnitCount } from "./figures.ts";
import { keepFocus } from "./focus.ts";
import * as links from "./links.ts";
import type { Room } from "./marks.ts";
import { drawMonths } from "./months.ts";
import { drawStatuses } from "./pie.ts";
import { UnitTable } from "./units.ts";
import * as words from "./words.ts";

const NOTHING = "No repairs yet. The first one will appear here as soon as it is recorded.";
const NOT_KNOWN = "–";
const CHARTS = ["units", "months", "statuses"] as const;

export interface Setting {
  labels: Record<string, string>;
  timeZone: string;
  currentMonth: string;
}

export class Cards {
  readonly #setting: Setting;
  readonly #again: () => void;
  readonly #units = new UnitTable(part<HTMLDetailsElement>(card("units"), "details"));
  readonly #changes: Changes;
  #parts: Partial<Parts> = {};

  constructor(setting: Setting, again: () => void) {
    this.#setting = setting;
    this.#again = again;
    this.#changes = new Changes(part(card("latest"), "[data-list]"), setting.labels, setting.timeZone);
  }

  /** Show the parts of a snapshot, and in place of those that failed why they are not there. */
  show({ parts, failed }: Pick<Snapshot, "parts" | "failed">): void {
    const before = this.#parts;
    const month = parts.figures?.completed_this_month.month ?? this.#setting.currentMonth;
    const newMonth = month !== this.#setting.currentMonth;
    this.#parts = parts;
    this.#setting.currentMonth = month;
    for (const id of [...CHARTS, "latest"] as const) this.#fail(id, failed[id]);
    const changed = CHARTS.filter((id) => parts[id] !== before[id] || (newMonth && id === "months"));
    this.#draw(changed);
    if (parts.units && changed.includes("units")) this.#showUnitWords(parts.units);
    if (parts.months && changed.includes("months")) this.#showMonthWords(parts.months);
    if (parts.statuses && changed.includes("statuses")) this.#showStatusWords(parts.statuses);
    if (parts.latest && parts.latest !== before.latest) this.#showChanges(parts.latest.repairs);
    if (parts.figures || failed.figures) showFigures(parts.figures);
  }

  /** Draw all charts again, as after a change of the window's width. */
  redraw(): void {
    this.#draw([...CHARTS]);
  }

  #draw(charts: readonly Part[]): void {
    const { units, months, statuses } = this.#parts;
    const marks = { units: units?.length ?? 0, months: months?.length ?? 0, statuses: words.total(statuses ?? []) };
    for (const id of CHARTS) if (this.#parts[id]) empty(id, marks[id] === 0);
    if (units) part(card("units"), "[data-chart]").dataset["rows"] = String(marks.units);
    const rooms = { units: room("units"), months: room("months"), statuses: room("statuses") };
    const drawn = (id: keyof typeof marks) => charts.includes(id) && marks[id] > 0;
    if (statuses && drawn("statuses")) drawStatuses(rooms.statuses, statuses, this.#setting.labels);
    if (months && drawn("months")) drawMonths(rooms.months, months, this.#setting.currentMonth);
    if (units && drawn("units")) drawUnits(rooms.units, units);
  }

  #showChanges(changes: Change[]): void {
    empty("latest", changes.length === 0);
    this.#changes.show(changes);
  }

  #showUnitWords(units: UnitCount[]): void {
    sentence("units", words.unitSentence(units));
    part(card("units"), "summary").textContent = words.allUnits(units.length);
    this.#units.show(units);
  }

  #showMonthWords(months: MonthCount[]): void {
    const current = this.#setting.currentMonth;
    sentence("months", words.monthSentence(months, current));
    const rows = months.map((month): Row => {
      const soFar = month.date === current ? " so far" : "";
      return [links.ofMonth(month.date), words.monthName(month.date) + soFar, words.number(month.count)];
    });
    fillTable("months", rows.reverse());
  }

  #showStatusWords(statuses: StatusCount[]): void {
    sentence("statuses", words.statusSentence(statuses));
    const all = words.total(statuses);
    const rows = statuses.map(({ status, count }): Row => {
      return [links.ofStatus(status), this.#setting.labels[status] ?? status, words.number(count), words.share(count, all)];
    });
    fillTable("statuses", rows);
    figure("open", words.number(words.open(statuses)), words.openNote(statuses));
    figure("waiting", words.number(words.count(statuses, "PENDING")), words.waitingNote(statuses));
  }

  #fail(name: Part, failure: FailedAnswer | undefined): void {
    const place = part(card(name), "[data-failure]");
    place.hidden = failure === undefined;
    part(card(name), "[data-body]").hidden = failure !== undefined;
    if (!failure) return;
    if (!place.firstChild) place.append(document.createElement("p"), button("Try again", this.#again));
    const id = failure.requestId === null ? "" : ` (request ${failure.requestId})`;
    part(place, "p").textContent = `This could not be loaded${id}.`;
  }
}

type Row = [href: string, name: string, ...numbers: string[]];

function card(id: Part): HTMLElement {
  return need(document.getElementById(id));
}

function part<Kind extends HTMLElement>(of: ParentNode, selector: string): Kind {
  return need(of.querySelector<Kind>(selector));
}

function need<Found>(found: Found | null): Found {
  if (found === null) throw new Error("the page lacks a part that the script expects");
  return found;
}

function button(text: string, act: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}

function room(id: Part): Room {
  const chart = part(card(id), "[data-chart]");
  return { chart, width: Math.max(chart.clientWidth, 240), height: chart.clientHeight };
}

/** Where there is nothing to show, say so in place of the chart and its table. */
function empty(id: Part, nothing: boolean): void {
  const place = part(card(id), "[data-empty]");
  place.hidden = !nothing;
  place.textContent = nothing ? NOTHING : "";
  for (const other of card(id).querySelectorAll<HTMLElement>("[data-chart], [data-list], details")) other.hidden = nothing;
}

function sentence(id: Part, text: string): void {
  part(card(id), "[data-sentence]").textContent = text;
}

function figure(name: string, value: string, note: string, href?: string): void {
  const link = part<HTMLAnchorElement>(document, `[data-figure="${name}"]`);
  link.dataset["count"] = value;
  part(link, "[data-value]").textContent = value;
  part(link, "[data-note]").textContent = note;
  if (href !== undefined) link.href = href;
}

function showFigures(figures: RepairFigures | undefined): void {
  if (!figures) {
    figure("completed", NOT_KNOWN, "Not known just now");
    figure("again", NOT_KNOWN, "Not known just now");
    return;
  }
  const { completed_this_month: completed, units_repaired_again: again } = figures;
  figure("completed", words.number(completed.count), words.completedNote(completed), links.completedIn(completed.month));
  figure("again", words.number(again.count), words.againNote(again), links.unitsAgain(again));
}

function fillTable(id: Part, rows: Row[]): void {
  const body = document.createElement("tbody");
  for (const [href, name, ...numbers] of rows) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    const link = document.createElement("a");
    link.href = href;
    link.textContent = name;
    head.append(link);
    row.append(head);
    for (const text of numbers) {
      const cell = row.insertCell();
      cell.className = "n";
      cell.textContent = text;
    }
  }
  keepFocus(card(id), () => part(card(id), "tbody").replaceWith(body));
}
