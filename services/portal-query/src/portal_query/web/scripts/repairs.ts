// The pages of repairs. All of them work without this: it spares a wait, keeps what is being
// typed, and says when a list is no longer the newest.

import { keepWayBack } from "./back.ts";
import { arrangeBreaks } from "./breaks.ts";
import { countChosen } from "./choosing.ts";
import { keepDraft } from "./draft.ts";
import { hintAtChanges } from "./hint.ts";
import { newestShown } from "./seen.ts";
import { sendInPlace } from "./sending.ts";

/** Make a page that has just come ready: at first, and when an answer has taken its place. */
function arrive(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-filters]")) {
    // What was left empty asks nothing, and has no place in an address that is sent to a colleague.
    form.addEventListener("formdata", ({ formData }) => {
      for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
    });
  }
  const breaks = document.querySelector<HTMLElement>("[data-breaks]");
  if (breaks) arrangeBreaks(breaks);
  const draft = document.querySelector<HTMLFormElement>("form[data-draft]");
  if (draft) keepDraft(draft);
  const decisions = document.querySelector<HTMLFormElement>("#decisions");
  if (decisions) countChosen(decisions);
  keepWayBack();
  newestShown();
  document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
  document.querySelector<HTMLElement>("#trouble, #done")?.focus();
}

// What was done is said once: a page that is reloaded or sent to a colleague does not say it again.
const address = new URL(window.location.href);
if (address.searchParams.has("seen")) {
  address.searchParams.delete("seen");
  window.history.replaceState(null, "", address);
}
arrive();
sendInPlace(arrive);
hintAtChanges();
