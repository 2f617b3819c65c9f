// What every page does: it is shown to nobody but who is signed in, and it remembers what it showed.

import { newestShown } from "./seen.ts";
import { guardSession } from "./session.ts";

// A page that the browser kept alive may belong to who was signed in before: it is asked for again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

newestShown();
// A form that came back through the sign-in stands at the address of the sign-in, which is no place
// to reload, to return to or to send to a colleague: it goes by its own.
const returned = document.querySelector<HTMLFormElement>("main form[method=post]");
if (returned && window.location.pathname.startsWith("/accounts/")) window.history.replaceState(null, "", returned.action);
const dialog = document.querySelector<HTMLDialogElement>("dialog#session");
if (dialog) guardSession(dialog);
