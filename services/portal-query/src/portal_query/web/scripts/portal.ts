// What every page does: it is shown to nobody but who is signed in.

// A page that the browser kept alive may belong to who was signed in before: it is asked for again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
