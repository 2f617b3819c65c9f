// The way back from a repair leads to the list that it was found in: its filters, its order, its page.

const LIST = "/customer/repairs/";
const KEY = "portal-list";

/** Keep the list that is shown, or lead the page's way back to the one that was shown last in this tab. */
export function keepWayBack(): void {
  const customer = document.body.dataset["customer"] ?? "";
  if (window.location.pathname === LIST) {
    window.sessionStorage.setItem(KEY, `${customer}:${window.location.search}`);
    return;
  }
  const link = document.querySelector<HTMLAnchorElement>("[data-back]");
  const [whose, search] = parted(window.sessionStorage.getItem(KEY) ?? "");
  if (!link || whose !== customer || !search) return;
  link.href = LIST + search;
  link.textContent = "Back to the list";
}

function parted(kept: string): [customer: string, search: string] {
  const at = kept.indexOf(":");
  return [kept.slice(0, at), kept.slice(at + 1)];
}
