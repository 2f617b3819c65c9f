// The newest version that a page of this tab has shown: no other page of it shows anything older.

import { isNewer, type Version } from "./figures.ts";

const KEY = "portal-shown";

type Shown = Version & { customer: string };

/** Take note of what the page shows; return the newest that the tab has shown of its customer. */
export function newestShown(): Version | null {
  const customer = document.body.dataset["customer"] ?? "";
  const page = JSON.parse(document.querySelector("#portal_state")?.textContent ?? "null") as Version | null;
  const before = JSON.parse(window.sessionStorage.getItem(KEY) ?? "null") as Shown | null;
  if (before?.customer === customer && (page === null || isNewer(before, page))) return before;
  if (page === null) return null;
  const shown: Shown = { customer, refold: page.refold, revision: page.revision };
  window.sessionStorage.setItem(KEY, JSON.stringify(shown));
  return shown;
}
