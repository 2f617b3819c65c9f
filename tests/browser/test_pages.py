"""Appearance of every page: no findings of axe, no overflow on a phone, targets large enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Page, expect
from tests.browser import chrome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

WIDE = "W" * 50
PAGES = {
    "repairs": "/customer/repairs/",
    "repairs-filtered": f"/customer/repairs/?status=PENDING&unit={WIDE}&from=2026-01-01",
    "repairs-none": "/customer/repairs/?q=nothing",
    "repairs-bad": "/customer/repairs/?month=2023-13&to=x",
    "repairs-sheet": "/customer/repairs/?view=print",
    "repair": "/customer/repairs/{id}/",
    "repair-unknown": "/customer/repairs/0/",
    "request": "/customer/repairs/new/",
    "company": "/customer/profile/",
    "units": "/customer/units/?year=2026&at_least=2",
    "docs": "/customer/api/docs/",
}
#: Controls smaller than 44 pixels, except those within a sentence.
SMALL = """() => [...document.querySelectorAll("body :is(a, button, summary, select, input:not([type=hidden]))")]
  .filter((one) => one.checkVisibility({visibilityProperty: true}))
  .map((one) => one.closest("label") ?? one)
  .filter((one) => getComputedStyle(one).display !== "inline"
    || one.parentElement.textContent.trim() === one.textContent.trim())
  .filter((one) => !one.closest(".unseen, .hint, p.waits"))
  .filter((one) => one.getClientRects()[0].height < 43.5)
  .map((one) => one.outerHTML.slice(0, 200))"""
#: Elements that need horizontal scrolling, of the page itself and of its navigation bar.
WIDER = """() => [...document.querySelectorAll("html, .bar, .places, .places ul")]
  .filter((one) => one.scrollWidth > one.clientWidth)
  .map((one) => one.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_fit_for_everybody(
    visit: Visit, site: Site, axe: Callable[[Page], Awaitable[list[str]]], name: str
) -> None:
    customer = await site.customer("Prairie Freight", email="fleet@prairie.example", city="Joliet")
    notes = {"customer_notes": "Keys at the gate", "description": "long " * 60}
    repair = await site.record(customer, WIDE, **notes)
    await site.load(customer, some_repairs())
    page = await visit(customer, PAGES[name].format(id=repair["repair_id"]))
    await chrome.photograph(page, name)
    await page.set_viewport_size({"width": 390, "height": 844})
    summary = page.locator("main summary")
    if await summary.count():
        await summary.first.click()
    assert await page.evaluate(WIDER) == []
    assert await page.evaluate(SMALL) == []
    for width, scheme in ((390, "dark"), (1280, "light")):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await axe(page) == []


async def test_a_refused_form_is_fit_for_everybody(
    visit: Visit, site: Site, axe: Callable[[Page], Awaitable[list[str]]]
) -> None:
    page = await visit(await site.customer(), "/customer/repairs/new/")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("alert")).to_be_focused()
    await chrome.photograph(page, "request-refused")
    assert await axe(page) == []


def some_repairs() -> list[dict[str, Any]]:
    statuses = ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")
    return [
        {
            "unit": f"MA-{n % 5}",
            "status": statuses[n % 6],
            "repair_date": f"2026-0{1 + n % 9}-05T15:00:00Z",
            "cost": f"{n % 6 and 40 + n}.00",
            "description": "Chip, 5 mm, driver side, below the wiper line; gravel",
        }
        for n in range(14)
    ]
