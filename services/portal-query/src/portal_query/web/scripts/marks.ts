// The marks of a chart: each is a link to its list, one of them is a stop of the tab key, arrow keys
// walk the others, and a tooltip says what the pointer or the focus is on.

import { select, type Selection } from "d3-selection";

/** Where a mark leads, its name, which has its text on the screen in it, and the lines of its tooltip. */
export interface Told {
  href: string;
  name: string;
  lines: string[];
}

/** A chart's element and its size, which is asked for before anything is drawn: to ask lays the page out. */
export interface Room {
  chart: HTMLElement;
  width: number;
  height: number;
}

export type Drawing = Selection<SVGSVGElement, unknown, null, undefined>;

const charts = new WeakMap<HTMLElement, Marks>();

/** Draw a chart anew. The focus stays on the mark that leads to the same list. */
export function redraw({ chart, width }: Room, height: number, label: string, draw: (svg: Drawing) => void): void {
  let marks = charts.get(chart);
  if (!marks) charts.set(chart, (marks = new Marks(chart)));
  marks.redraw(width, height, label, draw);
}

/** Add one link a row, in the order in which the keys walk them. */
export function addMarks<Row>(svg: Drawing, rows: Row[], told: (row: Row) => Told) {
  return svg
    .append("g")
    .selectAll("a")
    .data(rows)
    .join("a")
    .attr("class", "mark")
    .attr("href", (row) => told(row).href)
    .attr("aria-label", (row) => told(row).name)
    .attr("data-tip", (row) => told(row).lines.join("\n"));
}

/** Part two texts of each mark for those who read them one after the other. */
export function addGap<Row>(marks: ReturnType<typeof addMarks<Row>>): void {
  marks.append("text").text(" ");
}

class Marks {
  readonly #chart: HTMLElement;
  readonly #tip = document.createElement("div");
  #links: SVGAElement[] = [];

  constructor(chart: HTMLElement) {
    this.#chart = chart;
    this.#tip.className = "tip";
    this.#tip.hidden = true;
    // What it says is the link's name already.
    this.#tip.setAttribute("aria-hidden", "true");
    chart.addEventListener("keydown", (event) => this.#key(event));
    chart.addEventListener("focusin", (event) => this.#focused(event.target as Element));
    chart.addEventListener("focusout", () => this.#hide());
    chart.addEventListener("pointerover", (event) => this.#pointed(event));
    chart.addEventListener("pointerleave", () => this.#hide());
  }

  redraw(width: number, height: number, label: string, draw: (svg: Drawing) => void): void {
    const before = this.#links.find((link) => link === document.activeElement)?.getAttribute("href");
    this.#hide();
    this.#chart.replaceChildren();
    const svg = select(this.#chart)
      .append("svg")
      .attr("viewBox", `0 0 ${width} ${height}`)
      .attr("width", width)
      .attr("height", height)
      .attr("role", "group")
      .attr("aria-label", label);
    draw(svg);
    this.#chart.append(this.#tip);
    this.#links = [...this.#chart.querySelectorAll<SVGAElement>("a.mark")];
    const kept = this.#links.find((link) => link.getAttribute("href") === before);
    this.#stopAt(kept ?? this.#links[0]);
    kept?.focus({ preventScroll: true });
  }

  #stopAt(stop: SVGAElement | undefined): void {
    for (const link of this.#links) link.setAttribute("tabindex", link === stop ? "0" : "-1");
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      this.#hide();
      return;
    }
    const at = this.#links.findIndex((link) => link === document.activeElement);
    const next = walked(event.key, at, this.#links.length);
    if (at < 0 || next === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#links[next]?.focus();
  }

  #focused(target: Element): void {
    const link = this.#links.find((one) => one === target);
    if (!link) return;
    this.#stopAt(link);
    if (link.matches(":focus-visible")) this.#show(link);
  }

  #pointed(event: PointerEvent): void {
    const link = (event.target as Element).closest<SVGAElement>("a.mark");
    // Over the tooltip itself it stays; a finger opens the list at once and needs none.
    if (link && event.pointerType !== "touch") this.#show(link);
  }

  #show(link: SVGAElement): void {
    const [name, ...more] = (link.dataset["tip"] ?? "").split("\n");
    const strong = document.createElement("strong");
    strong.textContent = name ?? "";
    this.#tip.replaceChildren(strong, ...more.flatMap((line) => [document.createElement("br"), line]));
    this.#tip.hidden = false;
    const [mark, chart] = [(link.querySelector("[data-at]") ?? link).getBoundingClientRect(), this.#chart.getBoundingClientRect()];
    const left = mark.left - chart.left + mark.width / 2 - this.#tip.offsetWidth / 2;
    const above = mark.top - chart.top - this.#tip.offsetHeight - 6;
    const top = above + chart.top < 0 ? mark.bottom - chart.top + 6 : above;
    this.#tip.style.left = `${Math.max(0, Math.min(left, chart.width - this.#tip.offsetWidth))}px`;
    this.#tip.style.top = `${top}px`;
  }

  #hide(): void {
    this.#tip.hidden = true;
  }
}

function walked(key: string, at: number, length: number): number | null {
  switch (key) {
    case "ArrowRight":
    case "ArrowDown":
      return Math.min(at + 1, length - 1);
    case "ArrowLeft":
    case "ArrowUp":
      return Math.max(at - 1, 0);
    case "Home":
      return 0;
    case "End":
      return length - 1;
    default:
      return null;
  }
}
