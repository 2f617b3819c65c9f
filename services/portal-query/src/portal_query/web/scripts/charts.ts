// The three charts. Each draws into its element from scratch; nothing is styled by attribute text.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleBand, scaleLinear, scaleUtc } from "d3-scale";
import { select } from "d3-selection";
import { arc, area, line, pie, type PieArcDatum } from "d3-shape";
import type { MonthCount, StatusCount, UnitCount } from "./figures.ts";
import { monthDate, monthName, number, repairs, share, total } from "./words.ts";

export const TOP_UNITS = 20;

const ROW = 28;
const LETTERS = 16;
const STEPS = [1, 2, 3, 6, 12, 24, 60];

function canvas(element: HTMLElement, width: number, height: number, label: string) {
  element.replaceChildren();
  return select(element)
    .append("svg")
    .attr("viewBox", `0 0 ${width} ${height}`)
    .attr("height", height)
    .attr("role", "img")
    .attr("aria-label", label);
}

/** Bars of the units with most repairs. */
export function drawUnits(element: HTMLElement, units: UnitCount[]): void {
  const top = units.slice(0, TOP_UNITS);
  const width = Math.max(element.clientWidth, 240);
  const longest = Math.max(...top.map((unit) => Math.min(unit.unit_number.length, LETTERS)));
  const left = Math.min(longest * 8.5 + 14, width * 0.4);
  const height = top.length * ROW;
  const across = scaleLinear([0, top[0]?.repair_count ?? 1], [left, width - 52]);
  const down = scaleBand(top.map((unit) => unit.unit_number), [0, height]).padding(0.28);
  const svg = canvas(element, width, height, `Bars of ${top.length} units with most repairs; the table has the same figures.`);
  svg
    .append("g")
    .attr("class", "units-axis")
    .attr("transform", `translate(${left - 4},0)`)
    .call(axisLeft(down).tickSize(0).tickPadding(8).tickFormat(short));
  const row = svg.append("g").selectAll("g").data(top).join("g");
  row
    .append("rect")
    .attr("class", "bar-mark")
    .attr("x", left)
    .attr("y", (unit) => down(unit.unit_number) ?? 0)
    .attr("width", (unit) => Math.max(2, across(unit.repair_count) - left))
    .attr("height", down.bandwidth())
    .attr("rx", 3)
    .append("title")
    .text((unit) => `${unit.unit_number}: ${repairs(unit.repair_count)}`);
  row
    .append("text")
    .attr("class", "value")
    .attr("x", (unit) => across(unit.repair_count) + 8)
    .attr("y", (unit) => (down(unit.unit_number) ?? 0) + down.bandwidth() / 2)
    .attr("dy", "0.35em")
    .text((unit) => number(unit.repair_count));
}

/** A line over the months that exist; it breaks where a month has no repair. */
export function drawMonths(element: HTMLElement, months: MonthCount[], current: string | null): void {
  const width = Math.max(element.clientWidth, 240);
  const height = element.clientHeight;
  const most = Math.max(...months.map((month) => month.count));
  const dates = months.map((month) => monthDate(month.date));
  const across = scaleUtc([dates[0] ?? 0, dates.at(-1) ?? 0], [36, width - 12]);
  if (months.length === 1) across.range([width / 2, width / 2]);
  const up = scaleLinear([0, most], [height - 28, 14]).nice(4);
  const svg = canvas(element, width, height, "Line of repairs by month; the table has the same figures.");
  axes(svg, across, up, width, height, dates);
  const x = (month: MonthCount) => across(monthDate(month.date));
  for (const run of runs(months)) {
    svg
      .append("path")
      .attr("class", "under")
      .attr("d", area<MonthCount>(x, up(0), (month) => up(month.count))(run));
    svg
      .append("path")
      .attr("class", "trend")
      .attr("d", line<MonthCount>(x, (month) => up(month.count))(run));
  }
  svg
    .append("g")
    .selectAll("circle")
    .data(months)
    .join("circle")
    .attr("class", (month) => (month.date === current ? "dot unfinished" : "dot"))
    .attr("cx", x)
    .attr("cy", (month) => up(month.count))
    .attr("r", months.length > 48 ? 3 : 4.5)
    .append("title")
    .text((month) => {
      const soFar = month.date === current ? " so far" : "";
      return `${monthName(month.date)}: ${repairs(month.count)}${soFar}`;
    });
}

/** A ring of the statuses in the order of work, with the number of all repairs inside. */
export function drawStatuses(element: HTMLElement, statuses: StatusCount[], labels: Record<string, string>): void {
  const size = 208;
  const all = total(statuses);
  const slices = pie<StatusCount>()
    .sort(null)
    .value((row) => row.count)(statuses.filter((row) => row.count > 0));
  const shape = arc<PieArcDatum<StatusCount>>().innerRadius(66).outerRadius(102).cornerRadius(2);
  const svg = canvas(element, size, size, "Ring of repairs by status; the table has the same figures.");
  const middle = svg.attr("height", null).append("g").attr("transform", `translate(${size / 2},${size / 2})`);
  middle
    .selectAll("path")
    .data(slices)
    .join("path")
    .attr("class", (slice) => `slice status-${slice.data.status}`)
    .attr("d", shape)
    .append("title")
    .text(({ data }) => `${labels[data.status] ?? data.status}: ${repairs(data.count)}, ${share(data.count, all)}`);
  middle.append("text").attr("class", "whole").attr("dy", "0.1em").text(number(all));
  middle.append("text").attr("class", "whole-name").attr("dy", "1.9em").text(all === 1 ? "repair" : "repairs");
}

function axes(
  svg: ReturnType<typeof canvas>,
  across: ReturnType<typeof scaleUtc<number>>,
  up: ReturnType<typeof scaleLinear<number>>,
  width: number,
  height: number,
  dates: Date[],
): void {
  const whole = up.ticks(4).filter(Number.isInteger);
  svg
    .append("g")
    .attr("transform", "translate(36,0)")
    .call(axisLeft(up).tickValues(whole).tickSize(-(width - 48)).tickPadding(8).tickFormat((value) => number(+value)));
  const room = Math.max(2, Math.floor(width / 84));
  svg
    .append("g")
    .attr("transform", `translate(0,${height - 28})`)
    .call(axisBottom<Date>(across).tickValues(everyFew(dates, room)).tickSize(0).tickPadding(12).tickFormat(shortMonth));
}

/** At most `room` months of the calendar, evenly apart and beginning with a January where there is one. */
function everyFew(dates: Date[], room: number): Date[] {
  const [first, last] = [position(dates[0]), position(dates.at(-1))];
  const step = STEPS.find((months) => (last - first) / months < room) ?? 120;
  const found: Date[] = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) {
    found.push(new Date(Date.UTC(Math.floor(at / 12), at % 12)));
  }
  return found;
}

/** The number of a month on a calendar that begins with the year 0. */
function position(date: Date | undefined): number {
  return date === undefined ? 0 : date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** Cut a list of months where the calendar has a month that is not in it. */
function runs(months: MonthCount[]): MonthCount[][] {
  const found: MonthCount[][] = [];
  let before: number | null = null;
  for (const month of months) {
    const at = position(monthDate(month.date));
    if (before === null || at !== before + 1) found.push([]);
    found.at(-1)?.push(month);
    before = at;
  }
  return found;
}

function short(unit: string): string {
  return unit.length > LETTERS ? `${unit.slice(0, LETTERS - 1)}…` : unit;
}

const SHORT_MONTH = new Intl.DateTimeFormat("en-US", { month: "short", timeZone: "UTC" });

function shortMonth(date: Date): string {
  return `${SHORT_MONTH.format(date)} ${date.getUTCFullYear()}`;
}
