// What every page does: it is shown to nobody but who is signed in, and it remembers what was seen.

import { rememberSeen } from "./seen.ts";
import { guardSession } from "./session.ts";

// A page that the browser kept alive may belong to who was signed in before: it is asked for again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});

// On a phone the places are wider than the screen: the one that this is shows itself.
document.querySelector(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
rememberSeen();
const dialog = document.querySelector<HTMLDialogElement>("dialog#session");
if (dialog) guardSession(dialog);
