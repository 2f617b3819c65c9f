"""Debian's Chromium for the tests: started once, checked for console errors, with axe and
screenshots.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Literal

from deploy.local.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import BrowserContext, Page

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / ".run" / "screenshots"
WIDTHS = {390: 844, 768: 1024, 1280: 900}
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
# Tests stage refused connections and a sign-in page in place of a stream; they check the page's
# reaction themselves.
_STAGED = ("Failed to load resource", "EventSource's response has a MIME type")
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def watch(context: BrowserContext, origin: str) -> list[str]:
    """Return a list that collects console errors and foreign requests of a context's pages."""
    complaints: list[str] = []

    def heard(kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(staged in text for staged in _STAGED):
            complaints.append(text)

    def asked(address: str) -> None:
        if not address.startswith((origin + "/", "data:")):
            complaints.append(f"another origin: {address}")

    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda line: heard(line.type, line.text))
    context.on("request", lambda request: asked(request.url))
    return complaints


async def violations(page: Page) -> list[str]:
    """Return the findings of axe on the present page, one line a place."""
    await page.evaluate(AXE.read_text())
    found: dict[str, Any] = await page.evaluate(
        "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", list(_RULES)
    )
    return list(_lines(found["violations"]))


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for violation in found:
        for node in violation["nodes"]:
            yield f"{violation['id']}: {node['target']}: {node['failureSummary']}"


async def photograph(page: Page, name: str) -> None:
    """Save the present page at each width, light and dark, under `.run/screenshots/`."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width, height in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await page.evaluate(_DRAWN)
            await page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
