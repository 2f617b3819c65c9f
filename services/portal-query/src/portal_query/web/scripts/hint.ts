// Says that something has changed since a page was opened. It moves nothing: a row never slips away
// from under a finger, and whoever wants to see asks for it.

import { customerOf, isNewer, versionOf, type Version } from "./figures.ts";
import { follow } from "./live.ts";
import { SIGNED_OUT } from "./session.ts";

const STATE = "/customer/api/repair-status-data/";
// It is read aloud: not more often than somebody wants to hear.
const SAY_EVERY_MS = 10_000;
const TIMEOUT_MS = 10_000;

let said = -SAY_EVERY_MS;
let saying = 0;

/** Follow the customer's revisions and say how many are newer than the page. */
export function hintAtChanges(): void {
  if (!document.querySelector("#hint") || !document.querySelector("#portal_state")) return;
  follow({ newer: sayInTime, poll: () => void ask(), live: () => undefined });
}

function sayInTime(version: Version): void {
  window.clearTimeout(saying);
  saying = window.setTimeout(() => say(version), Math.max(0, said + SAY_EVERY_MS - performance.now()));
}

function say(version: Version): void {
  const place = document.querySelector<HTMLElement>("#hint");
  const page = JSON.parse(document.querySelector("#portal_state")?.textContent ?? "null") as Version | null;
  if (!place || !page) return;
  const text = textOf(version, page);
  if (!text || place.dataset["said"] === text) return;
  place.dataset["said"] = text;
  said = performance.now();
  if (place.firstChild) place.firstChild.textContent = `${text} `;
  else place.append(`${text} `, showButton());
}

function showButton(): HTMLButtonElement {
  const show = document.createElement("button");
  show.type = "button";
  show.className = "link";
  show.textContent = "Show";
  show.addEventListener("click", () => window.location.reload());
  return show;
}

function textOf(version: Version, page: Version): string {
  if (!isNewer(version, page)) return "";
  if (BigInt(version.refold) !== BigInt(page.refold)) return "This page has been recounted.";
  const changes = version.revision - page.revision;
  return `${changes === 1 ? "1 change" : `${changes} changes`} to your repairs since you opened this page.`;
}

/** Ask how far the figures are, where no stream tells. */
async function ask(): Promise<void> {
  try {
    // Asked by the page, not by a person: it does not keep a session from ending.
    const headers = { "X-Background": "1" };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(STATE, { method: "HEAD", redirect: "manual", headers, signal });
    if (answer.type === "opaqueredirect" || (answer.ok && customerOf(answer) !== document.body.dataset["customer"])) {
      document.dispatchEvent(new Event(SIGNED_OUT));
      return;
    }
    if (!answer.ok) return;
    sayInTime(versionOf(answer));
  } catch {
    // The next time will tell; the page says as of when it is.
  }
}
