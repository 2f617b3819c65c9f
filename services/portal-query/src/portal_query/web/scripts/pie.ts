// The chart of the statuses: a ring in the order of work, each slice with its name and number. They
// stand beside it where there is room, else beneath it, where each is as high as a finger.

import { arc, pie, type PieArcDatum } from "d3-shape";
import type { StatusCount } from "./figures.ts";
import { ofStatus } from "./links.ts";
import { addGap, addMarks, redraw, type Drawing, type Room } from "./marks.ts";
import { number, repairs, share, total } from "./words.ts";

const BESIDE_WIDTH = 112;
const BESIDE_HEIGHT = 38;
const BENEATH_HEIGHT = 46;
const LEAST_WIDTH_BESIDE = 400;
const MOST_RADIUS = 104;

type Slice = PieArcDatum<StatusCount>;
type Point = [number, number];

/** Where a label stands, seen from the middle of the ring; `end`: its text ends there. */
interface Label {
  at: Point;
  end: boolean;
  leader: Point[];
}

export function drawStatuses(room: Room, statuses: StatusCount[], labels: Record<string, string>): void {
  const all = total(statuses);
  const slices = pie<StatusCount>().sort(null).value((row) => row.count)(statuses.filter((row) => row.count > 0));
  redraw(room, room.height, "Ring of the repairs by status. Arrow keys move from status to status.", (svg) => {
    const { width, height } = room;
    const beside = width >= LEAST_WIDTH_BESIDE;
    const radius = Math.min(MOST_RADIUS, beside ? Math.min(height / 2 - 12, width / 2 - BESIDE_WIDTH) : 92);
    const middle: Point = [width / 2, beside ? height / 2 : radius + 4];
    const placed = beside ? besideRing(slices, radius, height) : beneathRing(slices, radius, width);
    drawWhole(svg, middle, all);
    const name = ({ data }: Slice) => labels[data.status] ?? data.status;
    const numbers = ({ data }: Slice) => `${number(data.count)} · ${share(data.count, all)}`;
    const marks = addMarks(svg, slices, (slice) => ({
      href: ofStatus(slice.data.status),
      name: `${name(slice)} ${numbers(slice)} of all repairs`,
      lines: [name(slice), `${repairs(slice.data.count)}, ${share(slice.data.count, all)} of all`],
    }));
    marks.attr("transform", `translate(${middle.join()})`);
    marks
      .append("path")
      .attr("class", (slice) => `slice status-${slice.data.status}`)
      .attr("data-at", "")
      .attr("d", arc<Slice>().innerRadius(radius * 0.64).outerRadius(radius).cornerRadius(2));
    marks
      .append("path")
      .attr("class", (slice) => `leader status-${slice.data.status}`)
      .attr("d", (_, index) => `M${(placed[index]?.leader ?? []).join("L")}`);
    const write = (text: string, name: (slice: Slice) => string, down: string) =>
      marks
        .append("text")
        .attr("class", (_, index) => (placed[index]?.end ? `${text} end` : text))
        .attr("x", (_, index) => placed[index]?.at[0] ?? 0)
        .attr("y", (_, index) => placed[index]?.at[1] ?? 0)
        .attr("dy", down)
        .text(name);
    write("name", name, "0");
    addGap(marks);
    write("numbers", numbers, "1.25em");
  });
}

function drawWhole(svg: Drawing, middle: Point, all: number): void {
  const whole = svg.append("g").attr("aria-hidden", "true").attr("transform", `translate(${middle.join()})`);
  whole.append("text").attr("class", "whole").attr("dy", "0.15em").text(number(all));
  whole.append("text").attr("class", "whole-name").attr("dy", "1.9em").text(all === 1 ? "repair" : "repairs");
}

/** Beside their slices, as near as they can be without touching each other. */
function besideRing(slices: Slice[], radius: number, height: number): Label[] {
  const wanted = slices.map((slice) => onCircle(slice, radius + 11));
  const most = height / 2 - BESIDE_HEIGHT / 2;
  const y = wanted.map(([, at]) => at);
  for (const right of [true, false]) {
    const side = wanted.map((_, index) => index).filter((index) => (wanted[index]?.[0] ?? 0) >= 0 === right);
    side.sort((one, other) => (y[one] ?? 0) - (y[other] ?? 0));
    let least = -most;
    for (const index of side) {
      y[index] = Math.max(y[index] ?? 0, least);
      least = y[index] + BESIDE_HEIGHT;
    }
    let limit = most;
    for (const index of side.reverse()) {
      y[index] = Math.min(y[index] ?? 0, limit);
      limit = y[index] - BESIDE_HEIGHT;
    }
  }
  return slices.map((slice, index) => {
    const turn = wanted[index] ?? [0, 0];
    const side = turn[0] >= 0 ? 1 : -1;
    const at = y[index] ?? 0;
    const leader: Point[] = [onCircle(slice, radius + 3), turn, [side * (radius + 18), at]];
    return { at: [side * (radius + 23), at - 3], end: side < 0, leader };
  });
}

/** Beneath the ring in two columns, each with a bar of its colour. */
function beneathRing(slices: Slice[], radius: number, width: number): Label[] {
  return slices.map((_, index) => {
    const x = (index % 2 === 0 ? -width / 2 : 0) + 8;
    const y = radius + 40 + Math.floor(index / 2) * BENEATH_HEIGHT;
    return { at: [x + 14, y], end: false, leader: [[x + 3, y - 10], [x + 3, y + 20]] };
  });
}

function onCircle({ startAngle, endAngle }: Slice, radius: number): Point {
  const angle = (startAngle + endAngle) / 2;
  return [Math.sin(angle) * radius, -Math.cos(angle) * radius];
}
