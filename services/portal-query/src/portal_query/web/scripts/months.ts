// The chart of the months: a line over those that exist, broken where a month has no repair, and
// dashed to the month that is not over.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, type ScaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import type { MonthCount } from "./figures.ts";
import { ofMonth } from "./links.ts";
import { addMarks, redraw, type Drawing, type Room } from "./marks.ts";
import { monthDate, monthName, number, repairs } from "./words.ts";

type Scale = ScaleLinear<number, number>;

const LEFT = 40;
const RIGHT = 18;
const TOP = 22;
const BOTTOM = 30;
const STEPS = [1, 2, 3, 6, 12, 24, 60];
const SHORT_MONTH = new Intl.DateTimeFormat("en-US", { month: "short", timeZone: "UTC" });

export function drawMonths(room: Room, months: MonthCount[], current: string | null): void {
  const label = `Line of the repairs of ${months.length} months. Arrow keys move from month to month.`;
  redraw(room, room.height, label, (svg) => {
    const { width, height } = room;
    const places = months.map(position);
    const across = scaleLinear([places[0] ?? 0, places.at(-1) ?? 0], [LEFT, width - RIGHT]);
    if (months.length === 1) across.range([width / 2, width / 2]);
    const up = scaleLinear([0, Math.max(...months.map((month) => month.count))], [height - BOTTOM, TOP]).nice(4);
    drawAxes(svg, across, up, width, height);
    drawLines(svg, across, up, months, current);
    drawDots(svg, across, up, months, current);
  });
}

function drawAxes(svg: Drawing, across: Scale, up: Scale, width: number, height: number): void {
  svg
    .append("g")
    .attr("aria-hidden", "true")
    .attr("transform", `translate(${LEFT - 8},0)`)
    .call(
      axisLeft(up)
        .tickValues(up.ticks(4).filter(Number.isInteger))
        .tickSize(-(width - LEFT))
        .tickPadding(8)
        .tickFormat((value) => number(+value)),
    );
  svg
    .append("g")
    .attr("aria-hidden", "true")
    .attr("transform", `translate(0,${height - BOTTOM})`)
    .call(
      axisBottom(across)
        .tickValues(everyFew(across.domain(), Math.max(2, Math.floor(width / 84))))
        .tickSize(0)
        .tickPadding(12)
        .tickFormat((value) => shortMonth(+value)),
    );
}

function drawLines(svg: Drawing, across: Scale, up: Scale, months: MonthCount[], current: string | null): void {
  const x = (month: MonthCount) => across(position(month));
  const y = (month: MonthCount) => up(month.count);
  const group = svg.append("g");
  for (const run of runs(months)) {
    const over = run.filter((month) => current === null || month.date < current);
    const unfinished = run.slice(Math.max(over.length - 1, 0));
    group.append("path").attr("class", "under").attr("d", area<MonthCount>(x, up(0), y)(over));
    group.append("path").attr("class", "trend").attr("d", line<MonthCount>(x, y)(over));
    if (over.length < run.length) {
      group.append("path").attr("class", "trend unfinished").attr("d", line<MonthCount>(x, y)(unfinished));
    }
  }
}

function drawDots(svg: Drawing, across: Scale, up: Scale, months: MonthCount[], current: string | null): void {
  const counts = new Map(months.map((month) => [month.date, month.count]));
  const band = Math.max(months.length > 1 ? across(1) - across(0) : 48, 4);
  const [bottom = 0, top = 0] = up.range();
  const marks = addMarks(svg, months, (month) => {
    const before = counts.get(yearBefore(month.date));
    const lines = [
      monthName(month.date),
      repairs(month.count) + (month.date === current ? " so far" : ""),
      ...(before === undefined ? [] : [`${number(before)} a year before`]),
    ];
    return { href: ofMonth(month.date), name: lines.join(", "), lines };
  })
    .attr("transform", (month) => `translate(${across(position(month))},0)`)
    .classed("unfinished", (month) => month.date === current);
  marks
    .append("rect")
    .attr("class", "hit")
    .attr("x", -band / 2)
    .attr("y", top - TOP)
    .attr("width", band)
    .attr("height", bottom - top + TOP);
  marks
    .append("circle")
    .attr("class", "dot")
    .attr("data-at", "")
    .attr("cy", (month) => up(month.count))
    .attr("r", months.length > 30 ? 3.5 : 4.5);
  marks
    .filter((month) => month.date === current)
    .append("text")
    .attr("class", "so-far end")
    .attr("x", 10)
    .attr("y", (month) => up(month.count) - 10)
    .text("so far");
}

/** At most `room` months of the calendar, evenly apart and beginning with a January where there is one. */
function everyFew([first = 0, last = 0]: number[], room: number): number[] {
  const step = STEPS.find((months) => (last - first) / months < room) ?? 120;
  const found: number[] = [];
  for (let at = Math.ceil(first / step) * step; at <= last; at += step) found.push(at);
  return found;
}

/** The number of a month on a calendar that begins with the year 0. */
function position(month: MonthCount): number {
  const date = monthDate(month.date);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function yearBefore(month: string): string {
  return `${Number(month.slice(0, 4)) - 1}${month.slice(4)}`;
}

/** Cut a list of months where the calendar has a month that is not in it. */
function runs(months: MonthCount[]): MonthCount[][] {
  const found: MonthCount[][] = [];
  let before: number | null = null;
  for (const month of months) {
    const at = position(month);
    if (before === null || at !== before + 1) found.push([]);
    found.at(-1)?.push(month);
    before = at;
  }
  return found;
}

function shortMonth(at: number): string {
  const year = Math.floor(at / 12);
  return `${SHORT_MONTH.format(new Date(Date.UTC(year, at % 12)))} ${year}`;
}
