// The repairs that changed last, each a link to its page.

import type { Change } from "./figures.ts";
import { keepFocus } from "./focus.ts";
import { ofRepair } from "./links.ts";

export class Changes {
  readonly #list: HTMLElement;
  readonly #labels: Record<string, string>;
  readonly #time: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;

  constructor(list: HTMLElement, labels: Record<string, string>, timeZone: string) {
    this.#list = list;
    this.#labels = labels;
    this.#time = new Intl.DateTimeFormat("en-US", { month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZone });
    this.#day = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeZone });
  }

  show(changes: Change[]): void {
    keepFocus(this.#list, () => this.#list.replaceChildren(...changes.map((change) => this.#line(change))));
  }

  #line(change: Change): HTMLElement {
    const line = document.createElement("li");
    const link = document.createElement("a");
    link.href = ofRepair(change.repair_id);
    const when = document.createElement("time");
    when.dateTime = change.changed_at;
    when.textContent = this.#when(new Date(change.changed_at));
    link.append(
      span("unit", change.unit_number),
      span("what", change.description || change.damage_type),
      span(`badge status-${change.status}`, this.#labels[change.status] ?? change.status),
      when,
    );
    line.append(link);
    return line;
  }

  /** The time of a day of this year, else the day. */
  #when(moment: Date): string {
    const day = this.#day.format(moment);
    return day.slice(-4) === this.#day.format(new Date()).slice(-4) ? this.#time.format(moment) : day;
  }
}

function span(name: string, text: string): HTMLElement {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}
