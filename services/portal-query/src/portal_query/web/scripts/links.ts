// Where the figures lead: the list of exactly the repairs that each of them counts.

import type { RepairFigures } from "./figures.ts";

const REPAIRS = "/customer/repairs/";

export function ofUnit(unit: string): string {
  return `${REPAIRS}?unit=${encodeURIComponent(unit)}`;
}

export function ofMonth(month: string): string {
  return `${REPAIRS}?month=${month}`;
}

export function ofStatus(status: string): string {
  return `${REPAIRS}?status=${status}`;
}

export function ofRepair(repairId: string): string {
  return `${REPAIRS}${repairId}/`;
}

export function completedIn(month: string): string {
  return `${REPAIRS}?status=COMPLETED&month=${month}`;
}

export function unitsAgain(again: RepairFigures["units_repaired_again"]): string {
  return `/customer/units/?year=${again.year}&at_least=${again.at_least}`;
}
