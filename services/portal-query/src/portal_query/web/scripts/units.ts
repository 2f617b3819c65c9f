// All units in a table that sorts and searches, filled when it is opened.

import type { UnitCount } from "./figures.ts";
import { keepFocus } from "./focus.ts";
import { ofUnit } from "./links.ts";
import { number } from "./words.ts";

type Order = "name" | "count";

const BY_NAME = new Intl.Collator("en-US", { numeric: true, sensitivity: "base" });
// So many rows are there at once; the others follow while nothing else is to do.
const ROWS_AT_ONCE = 60;

export class UnitTable {
  readonly #details: HTMLDetailsElement;
  readonly #table: HTMLTableElement;
  readonly #search: HTMLInputElement;
  readonly #found: HTMLElement;
  #units: UnitCount[] = [];
  #order: Order = "count";
  #descending = true;
  #filling = 0;

  constructor(details: HTMLDetailsElement) {
    this.#details = details;
    this.#table = details.querySelector("table") as HTMLTableElement;
    this.#search = details.querySelector("input") as HTMLInputElement;
    this.#found = details.querySelector("[data-found]") as HTMLElement;
    details.addEventListener("toggle", () => this.#fill());
    this.#search.addEventListener("input", () => this.#fill());
    for (const button of details.querySelectorAll<HTMLButtonElement>("[data-order]")) {
      button.addEventListener("click", () => this.#sort(button.dataset["order"] as Order));
    }
  }

  show(units: UnitCount[]): void {
    this.#units = units;
    // Whoever has read down to a row finds it where it was.
    this.#fill(Math.max(ROWS_AT_ONCE, this.#table.rows.length));
  }

  #sort(order: Order): void {
    this.#descending = order === this.#order ? !this.#descending : order === "count";
    this.#order = order;
    for (const button of this.#table.querySelectorAll<HTMLButtonElement>("[data-order]")) {
      const direction = this.#descending ? "descending" : "ascending";
      if (button.dataset["order"] === order) button.closest("th")?.setAttribute("aria-sort", direction);
      else button.closest("th")?.removeAttribute("aria-sort");
    }
    this.#fill();
  }

  #fill(atOnce = ROWS_AT_ONCE): void {
    window.cancelAnimationFrame(this.#filling);
    if (!this.#details.open || this.#units.length === 0) return;
    const wanted = this.#search.value.trim().toLowerCase();
    const rows = this.#units.filter((unit) => unit.unit_number.toLowerCase().includes(wanted));
    rows.sort((one, other) => (this.#descending ? -1 : 1) * this.#compare(one, other));
    const of = `of ${number(this.#units.length)} ${this.#units.length === 1 ? "unit" : "units"}`;
    this.#found.textContent = rows.length === this.#units.length ? "" : `${number(rows.length)} ${of}`;
    const body = document.createElement("tbody");
    body.append(...rows.slice(0, atOnce).map(row));
    keepFocus(this.#table, () => this.#table.tBodies[0]?.replaceWith(body));
    this.#fillLater(body, rows, atOnce);
  }

  #fillLater(body: HTMLTableSectionElement, rows: UnitCount[], from: number): void {
    if (from >= rows.length) return;
    this.#filling = window.requestAnimationFrame(() => {
      body.append(...rows.slice(from, from + ROWS_AT_ONCE).map(row));
      this.#fillLater(body, rows, from + ROWS_AT_ONCE);
    });
  }

  #compare(one: UnitCount, other: UnitCount): number {
    const byName = BY_NAME.compare(one.unit_number, other.unit_number);
    if (this.#order === "name") return byName;
    // Among equals the names ascend in either direction.
    return one.repair_count - other.repair_count || (this.#descending ? -byName : byName);
  }
}

function row(unit: UnitCount): HTMLTableRowElement {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const link = document.createElement("a");
  link.href = ofUnit(unit.unit_number);
  link.textContent = unit.unit_number;
  head.append(link);
  const cell = document.createElement("td");
  cell.className = "n";
  cell.textContent = number(unit.repair_count);
  line.append(head, cell);
  return line;
}
