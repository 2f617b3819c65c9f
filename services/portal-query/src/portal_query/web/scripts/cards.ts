// The figures and the cards of the page, all drawn from one set of figures; a card whose part could
// not be had says so, and the others stand.

import { drawUnits } from "./bars.ts";
import { Changes } from "./changes.ts";
import type { FailedAnswer, MonthCount, Part, Parts, RepairFigures, Snapshot, StatusCount, UnitCount } from "./figures.ts";
import * as links from "./links.ts";
import { drawMonths } from "./months.ts";
import { drawStatuses } from "./pie.ts";
import { UnitTable } from "./units.ts";
import * as words from "./words.ts";

const NOTHING = "No repairs yet. The first one will appear here as soon as it is recorded.";
const NOT_KNOWN = "–";

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

  /** Draw the parts of a snapshot, and in place of those that failed why they are not there. */
  show({ parts, failed }: Pick<Snapshot, "parts" | "failed">): void {
    this.#parts = parts;
    if (parts.figures) this.#setting.currentMonth = parts.figures.completed_this_month.month;
    this.redraw();
    if (parts.units) this.#showUnitWords(parts.units);
    if (parts.months) this.#showMonthWords(parts.months);
    if (parts.statuses) this.#showStatusWords(parts.statuses);
    if (parts.latest) this.#changes.show(parts.latest.repairs);
    if (parts.latest) empty("latest", parts.latest.repairs.length === 0);
    if (parts.figures || failed.figures) showFigures(parts.figures);
    for (const name of ["units", "months", "statuses", "latest"] as const) this.#fail(name, failed[name]);
  }

  /** Draw the charts again, as after a change of the window's width. */
  redraw(): void {
    const { units, months, statuses } = this.#parts;
    if (statuses) chart("statuses", words.total(statuses), (into) => drawStatuses(into, statuses, this.#setting.labels));
    if (months) chart("months", months.length, (into) => drawMonths(into, months, this.#setting.currentMonth));
    if (units) chart("units", units.length, (into) => drawUnits(into, units));
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

function chart(id: Part, marks: number, draw: (chart: HTMLElement) => void): void {
  empty(id, marks === 0);
  const into = part(card(id), "[data-chart]");
  into.dataset["rows"] = String(marks);
  if (marks > 0) draw(into);
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
  part(card(id), "tbody").replaceWith(body);
}
