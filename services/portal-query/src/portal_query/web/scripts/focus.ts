// Keeps the keyboard's place where a list of links is made anew.

/** Let `change` replace links in `place`. The focus stays on the link that leads to the same list or repair. */
export function keepFocus(place: HTMLElement, change: () => void): void {
  const held = document.activeElement;
  const href = held instanceof HTMLAnchorElement && place.contains(held) ? held.getAttribute("href") : null;
  change();
  if (href === null) return;
  const same = [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
  same?.focus({ preventScroll: true });
}
