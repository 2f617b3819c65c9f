// Figures and times as people read them, and the one sentence that says what a chart shows.

import type { MonthCount, RepairFigures, StatusCount, UnitCount } from "./figures.ts";

const NUMBER = new Intl.NumberFormat("en-US");
const MONTH = new Intl.DateTimeFormat("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
const MONTH_ALONE = new Intl.DateTimeFormat("en-US", { month: "long", timeZone: "UTC" });
const OPEN = new Set(["REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS"]);

export function number(value: number): string {
  return NUMBER.format(value);
}

export function repairs(count: number): string {
  return `${number(count)} ${count === 1 ? "repair" : "repairs"}`;
}

export function monthName(month: string): string {
  return MONTH.format(monthDate(month));
}

/** The month of a moment on a time zone's calendar, such as 2026-11. */
export function monthAt(time: Date, timeZone: string): string {
  const parts = new Intl.DateTimeFormat("en-US", { year: "numeric", month: "2-digit", timeZone }).formatToParts(time);
  const part = (type: "year" | "month") => parts.find((one) => one.type === type)?.value ?? "";
  return `${part("year")}-${part("month")}`;
}

/** "November" of 2026-11. */
export function monthAlone(month: string): string {
  return MONTH_ALONE.format(monthDate(month));
}

/** The first moment of a month such as 2026-03, on a calendar without zones. */
export function monthDate(month: string): Date {
  return new Date(`${month}-01T00:00:00Z`);
}

export function share(count: number, total: number): string {
  if (total === 0) return "";
  const rounded = Math.round((100 * count) / total);
  return count > 0 && rounded === 0 ? "< 1 %" : `${rounded} %`;
}

export function total(statuses: StatusCount[]): number {
  return statuses.reduce((sum, row) => sum + row.count, 0);
}

export function open(statuses: StatusCount[]): number {
  return total(statuses.filter((row) => OPEN.has(row.status)));
}

export function count(statuses: StatusCount[], status: string): number {
  return statuses.find((row) => row.status === status)?.count ?? 0;
}

export function unitSentence(units: UnitCount[]): string {
  const first = units[0];
  if (first === undefined) return "No unit has been repaired yet.";
  const all = units.reduce((sum, row) => sum + row.repair_count, 0);
  if (units.length === 1) return `${repairs(all)}, ${all === 1 ? "" : "all "}on unit ${first.unit_number}.`;
  const part = share(first.repair_count, all);
  return `${repairs(all)} on ${number(units.length)} units; ${first.unit_number} has most, ${number(first.repair_count)} (${part}).`;
}

/** What opens the table of the units: the chart shows only those with most repairs. */
export function allUnits(units: number): string {
  return units === 1 ? "As a table" : `All ${number(units)} units as a table`;
}

export function monthSentence(months: MonthCount[], current: string | null): string {
  const most = months.reduce<MonthCount | null>(
    (best, row) => (best === null || row.count > best.count ? row : best),
    null,
  );
  if (most === null) return "No repair has been recorded yet.";
  const sentence = `Most in ${monthName(most.date)}: ${repairs(most.count)}`;
  if (most.date === current) return `${sentence} so far.`;
  const unfinished = months.find((row) => row.date === current);
  if (!unfinished) return `${sentence}.`;
  return `${sentence}. ${monthAlone(unfinished.date)} is not over: ${number(unfinished.count)} so far.`;
}

export function statusSentence(statuses: StatusCount[]): string {
  const waiting = count(statuses, "PENDING");
  if (total(statuses) === 0) return "No repair has been recorded yet.";
  const decision = waiting === 0 ? "none waits for your decision" : `${number(waiting)} for your decision`;
  return `${number(open(statuses))} open, ${decision}.`;
}

export function openNote(statuses: StatusCount[]): string {
  return `of ${repairs(total(statuses))} in all`;
}

export function waitingNote(statuses: StatusCount[]): string {
  return count(statuses, "PENDING") === 0 ? "Nothing to decide" : "Approve or deny";
}

export function completedNote({ count: now, count_before: before, month_before }: RepairFigures["completed_this_month"]): string {
  const change =
    now === before ? "as many so far" : `${number(Math.abs(now - before))} ${now > before ? "more already" : "fewer so far"}`;
  return `${number(before)} in ${monthAlone(month_before)}, ${change}`;
}

export function againNote(again: RepairFigures["units_repaired_again"]): string {
  return `${number(again.at_least)} repairs or more in ${again.year}`;
}
