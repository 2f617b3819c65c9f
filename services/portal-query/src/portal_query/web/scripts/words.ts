// Figures and times as people read them, and the one sentence that says what a chart shows.

import type { MonthCount, StatusCount, UnitCount } from "./figures.ts";

const NUMBER = new Intl.NumberFormat("en-US");
const MONTH = new Intl.DateTimeFormat("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
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

/** The first moment of a month such as 2026-03, on a calendar without zones. */
export function monthDate(month: string): Date {
  return new Date(`${month}-01T00:00:00Z`);
}

export function share(count: number, total: number): string {
  return total === 0 ? "" : `${Math.round((100 * count) / total)} %`;
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

export function monthSentence(months: MonthCount[]): string {
  const most = months.reduce<MonthCount | null>(
    (best, row) => (best === null || row.count > best.count ? row : best),
    null,
  );
  if (most === null) return "No repair has been recorded yet.";
  return `Most in ${monthName(most.date)}: ${repairs(most.count)}.`;
}

export function statusSentence(statuses: StatusCount[]): string {
  const waiting = count(statuses, "PENDING");
  const inWork = open(statuses);
  if (total(statuses) === 0) return "No repair has been recorded yet.";
  const decision = waiting === 0 ? "none waits for your decision" : `${number(waiting)} for your decision`;
  return `${number(inWork)} open, ${decision}.`;
}
