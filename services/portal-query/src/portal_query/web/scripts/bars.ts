// The chart of the units: a bar each, for those with most repairs.

import { scaleLinear } from "d3-scale";
import type { UnitCount } from "./figures.ts";
import { ofUnit } from "./links.ts";
import { addGap, addMarks, redraw, type Room } from "./marks.ts";
import { number, repairs, share } from "./words.ts";

export const TOP_UNITS = 20;

// The rooms that the style keeps for a row, wide and on a phone.
const ROW = 30;
const PHONE_ROW = 46;
const PHONE = window.matchMedia("(max-width: 40rem)");
const LETTERS = 16;

export function drawUnits(room: Room, units: UnitCount[]): void {
  const top = units.slice(0, TOP_UNITS);
  const all = units.reduce((sum, unit) => sum + unit.repair_count, 0);
  const row = PHONE.matches ? PHONE_ROW : ROW;
  const label = `Bars of the ${top.length} units with most repairs. Arrow keys move from unit to unit.`;
  redraw(room, top.length * row, label, (svg) => {
    const { width } = room;
    const longest = Math.max(...top.map((unit) => short(unit.unit_number).length));
    const left = PHONE.matches ? 0 : Math.min(longest * 8.2 + 16, width * 0.4);
    const across = scaleLinear([0, top[0]?.repair_count ?? 1], [0, width - left - (PHONE.matches ? 0 : 52)]);
    const marks = addMarks(svg, top, (unit) => {
      const counted = `${repairs(unit.repair_count)}, ${share(unit.repair_count, all)} of all`;
      return {
        href: ofUnit(unit.unit_number),
        name: `${short(unit.unit_number)} ${counted}${isCut(unit.unit_number) ? `, unit ${unit.unit_number}` : ""}`,
        lines: [unit.unit_number, counted],
      };
    }).attr("transform", (_, index) => `translate(0,${index * row})`);
    marks.append("rect").attr("class", "hit").attr("width", width).attr("height", row);
    const bar = marks
      .append("rect")
      .attr("class", "bar-mark")
      .attr("data-at", "")
      .attr("x", left)
      .attr("width", (unit) => Math.max(3, across(unit.repair_count)))
      .attr("rx", 3);
    const name = marks.append("text").attr("class", "name").text((unit) => short(unit.unit_number));
    addGap(marks);
    const value = marks.append("text").attr("class", "value").text((unit) => number(unit.repair_count));
    if (PHONE.matches) {
      // Name and number above the bar, which has the whole width; the row is as high as a finger.
      bar.attr("y", 26).attr("height", 10);
      name.attr("y", 18);
      value.attr("y", 18).attr("x", width).attr("class", "value end");
    } else {
      bar.attr("y", 5).attr("height", ROW - 10);
      name.attr("y", ROW / 2).attr("dy", "0.35em").attr("x", left - 12).attr("class", "name end");
      value.attr("y", ROW / 2).attr("dy", "0.35em").attr("x", (unit) => left + across(unit.repair_count) + 8);
    }
  });
}

function short(unit: string): string {
  return isCut(unit) ? `${unit.slice(0, LETTERS - 1)}…` : unit;
}

function isCut(unit: string): boolean {
  return unit.length > LETTERS;
}
