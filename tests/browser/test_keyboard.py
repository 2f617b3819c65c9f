"""The pages of repairs with a keyboard only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import Locator, Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

MOST_STOPS = 80


async def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, and check that the focus is visible."""
    for _ in range(MOST_STOPS):
        await page.keyboard.press("Tab")
        seen = await page.evaluate(
            """() => {
              const at = document.activeElement;
              const ringed = (one) => one && getComputedStyle(one).outlineStyle !== "none";
              return at === document.body || ringed(at) || ringed(at.closest("label"));
            }"""
        )
        assert seen, await page.evaluate("document.activeElement.outerHTML")
        if await target.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"{target} is not reached by Tab")


async def test_from_the_list_to_a_decision(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": "T-1"}, {"unit": "T-2"}])
    page = await visit(customer, "/customer/repairs/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("checkbox", name=re.compile("Choose unit T-2")))
    await page.keyboard.press("Space")
    await tab_to(page, page.get_by_label("Reason"))
    await page.keyboard.type("Go on")
    await tab_to(page, page.get_by_role("button", name="Approve"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="1 repair approved")).to_be_focused()
    await tab_to(page, page.get_by_role("link", name=re.compile("^T-1")))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Unit T-1")).to_be_visible()
    await tab_to(page, page.get_by_role("button", name="Deny"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("You denied this repair.")).to_be_focused()


async def test_a_request_with_two_breaks(visit: Visit, site: Site) -> None:
    page = await visit(await site.customer(), "/customer/repairs/new/")
    await tab_to(page, page.get_by_label("Unit"))
    await page.keyboard.type("T-1")
    await tab_to(page, page.get_by_role("group", name="Break 1").get_by_label("Kind"))
    await page.keyboard.type("Chip")
    await tab_to(page, page.get_by_role("button", name="Add another break"))
    await page.keyboard.press("Enter")
    await page.keyboard.type("Bullseye")
    await tab_to(page, page.get_by_role("button", name="Send the request"))
    await page.keyboard.press("Enter")
    await expect(page.locator("#length")).to_have_text("2 repairs")
