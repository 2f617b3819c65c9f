// The revision of her own last change, which the address of the page that follows it names: no
// other page of this tab shows her anything older.

const KEY = "portal-seen";

function customer(): string {
  return document.body.dataset["customer"] ?? "";
}

/** Take note of the revision in the address. */
export function rememberSeen(): void {
  const seen = Number(new URLSearchParams(window.location.search).get("seen"));
  if (Number.isSafeInteger(seen) && seen > ownRevision()) window.sessionStorage.setItem(KEY, `${customer()}:${seen}`);
}

/** Return the revision of her last change in this tab, 0 when there was none. */
export function ownRevision(): number {
  const [whose, revision] = (window.sessionStorage.getItem(KEY) ?? "").split(":");
  return whose === customer() ? Number(revision) : 0;
}
