// Says how many repairs are chosen, and chooses all that wait.

/** Follow the choices of the form that decides. */
export function countChosen(form: HTMLFormElement): void {
  const words = form.querySelector<HTMLElement>("[data-chosen]");
  const all = form.querySelector<HTMLButtonElement>("[data-choose-all]");
  const boxes = [...form.querySelectorAll<HTMLInputElement>('[name="repair"]')];
  if (!words || !all) return;
  all.hidden = boxes.length < 2;
  const nothing = words.textContent ?? "";

  const say = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    words.textContent = chosen === 0 ? nothing : `${chosen} of ${boxes.length} repairs chosen.`;
    all.textContent = chosen === boxes.length ? "Choose none" : `Choose all ${boxes.length}`;
  };
  all.addEventListener("click", () => {
    const choose = !boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = choose;
    say();
  });
  form.addEventListener("change", say);
  say();
}
