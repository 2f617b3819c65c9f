// The cards of the page: a sentence, a chart and a table each, drawn from one set of figures.

import { drawMonths, drawStatuses, drawUnits } from "./charts.ts";
import type { Figures, StatusCount } from "./figures.ts";
import * as words from "./words.ts";

const NOTHING = "No repairs yet. The first one will appear here as soon as it is recorded.";

export interface Labels {
  statuses: Record<string, string>;
  currentMonth: string | null;
}

function card(id: string): HTMLElement {
  return need(document.getElementById(id));
}

function part(of: ParentNode, selector: string): HTMLElement {
  return need(of.querySelector<HTMLElement>(selector));
}

function need<Found>(found: Found | null): Found {
  if (found === null) throw new Error("the page lacks a part that the script expects");
  return found;
}

/** Draw everything that the figures say. */
export function showFigures(figures: Figures, labels: Labels): void {
  showStatuses(figures.statuses, labels);
  sentence("months", words.monthSentence(figures.months));
  sentence("units", words.unitSentence(figures.units));
  rows("months", figures.months.map((row) => [words.monthName(row.date), words.number(row.count)]));
  rows("units", figures.units.map((row) => [row.unit_number, words.number(row.repair_count)]));
  part(card("units"), "summary").textContent = words.allUnits(figures.units.length);
  draw("months", figures.months.length, (chart) => drawMonths(chart, figures.months, labels.currentMonth));
  draw("units", figures.units.length, (chart) => drawUnits(chart, figures.units));
}

/** Draw what comes from the status list alone, which the page brings with it. */
export function showStatuses(statuses: StatusCount[], labels: Labels): void {
  const all = words.total(statuses);
  figure("open", words.open(statuses));
  figure("waiting", words.count(statuses, "PENDING"));
  figure("completed", words.count(statuses, "COMPLETED"));
  figure("total", all);
  sentence("statuses", words.statusSentence(statuses));
  const lines = card("statuses").querySelectorAll("tbody tr");
  statuses.forEach((row, index) => {
    const cells = lines[index]?.querySelectorAll("td");
    if (cells?.[0]) cells[0].textContent = words.number(row.count);
    if (cells?.[1]) cells[1].textContent = words.share(row.count, all);
  });
  draw("statuses", all, (chart) => drawStatuses(chart, statuses, labels.statuses));
}

/** Say in the cards that have no chart yet why there is none, and offer to try again. */
export function showFailure(text: string, again: () => void): void {
  for (const id of ["months", "units"]) {
    const chart = part(card(id), "[data-chart]");
    if (chart.querySelector("svg")) continue;
    const block = document.createElement("div");
    block.className = "failed";
    const line = document.createElement("span");
    line.textContent = text;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Try again";
    button.addEventListener("click", again);
    block.append(line, button);
    chart.replaceChildren(block);
  }
}

function draw(id: string, marks: number, into: (chart: HTMLElement) => void): void {
  const chart = part(card(id), "[data-chart]");
  const twin = card(id).querySelector("details");
  if (twin) twin.hidden = marks === 0;
  if (marks > 0) {
    into(chart);
    return;
  }
  const text = document.createElement("p");
  text.className = "empty";
  text.textContent = id === "statuses" ? "No repairs yet." : NOTHING;
  chart.replaceChildren(text);
}

function figure(name: string, value: number): void {
  part(document, `[data-figure="${name}"]`).textContent = words.number(value);
}

function sentence(id: string, text: string): void {
  part(card(id), "[data-sentence]").textContent = text;
}

function rows(id: string, values: [string, string][]): void {
  const body = document.createElement("tbody");
  for (const [name, count] of values) {
    const row = body.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const cell = row.insertCell();
    cell.className = "n";
    cell.textContent = count;
  }
  part(card(id), "tbody").replaceWith(body);
}
