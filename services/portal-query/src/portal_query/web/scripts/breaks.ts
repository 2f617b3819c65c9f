// The rows of a request: those that nobody needs yet are folded away, and further ones are made.

const ROW = "[data-break]";
const NAMES = /^(damage_type|description)-\d+/;

/** Let rows be added, up to as many as a request may have. */
export function arrangeBreaks(place: HTMLElement): void {
  const button = place.parentElement?.querySelector<HTMLButtonElement>("[data-add]");
  const most = Number(place.dataset["most"]);
  const spent = () => place.querySelectorAll(`${ROW}:not(.spare)`).length >= most;
  button?.addEventListener("click", () => {
    const row = addBreak(place);
    row.querySelector("input")?.focus();
    button.hidden = spent();
  });
  if (button) button.hidden = spent();
}

/** Return a further row: a folded one, or one more. */
export function addBreak(place: HTMLElement): HTMLElement {
  const spare = place.querySelector<HTMLElement>(`${ROW}.spare`);
  if (spare) {
    spare.classList.remove("spare");
    return spare;
  }
  const rows = place.querySelectorAll<HTMLElement>(ROW);
  const number = rows.length + 1;
  const row = (rows[rows.length - 1] as HTMLElement).cloneNode(true) as HTMLElement;
  row.dataset["break"] = String(number);
  row.querySelector("legend")?.replaceChildren(`Break ${number}`);
  for (const error of row.querySelectorAll(".error")) error.remove();
  for (const label of row.querySelectorAll("label")) label.htmlFor = renumbered(label.htmlFor, number);
  for (const input of row.querySelectorAll("input")) {
    input.id = input.name = renumbered(input.name, number);
    input.value = "";
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  place.append(row);
  return row;
}

function renumbered(name: string, number: number): string {
  return name.replace(NAMES, `$1-${number}`);
}
