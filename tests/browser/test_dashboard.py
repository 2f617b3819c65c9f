"""The dashboard in the whole system: customers see the writer's accepted changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

# Above 2^53: no double is this number, so a script that reads it as one compares it with another.
BIG_CUSTOMER = 844197938335842305
# More than a browser's six connections to a host over HTTP/1.1.
WINDOWS = 7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]


async def test_a_change_at_the_writer_is_on_the_screen_within_two_seconds(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    await site.load(customer, [{"status": "COMPLETED"}])
    page = await visit(customer)
    await expect(page.locator('[data-figure="waiting"] [data-value]')).to_have_text("0")
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await site.record(customer, status="PENDING")
    await expect(page.locator('[data-figure="waiting"] [data-value]')).to_have_text(
        "1", timeout=2_000
    )


async def test_a_customer_beyond_a_double_sees_a_page_that_stays(visit: Visit, site: Site) -> None:
    customer = await site.customer("Snowflake Fleet", above=BIG_CUSTOMER)
    await site.load(customer, [{"status": "PENDING"}])
    page = await visit(customer)
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    async with page.expect_response("**/accounts/session/") as answered:
        await page.evaluate("document.dispatchEvent(new Event('portal:signed-out'))")
    assert (await (await answered.value).json())["customer"] == str(customer)
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await site.record(customer)
    await expect(page.locator("#statuses .whole")).to_have_text("2")
    assert loads == []


async def test_seven_windows_of_a_browser_follow_a_change(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, [{"status": "PENDING"}])
    first = await visit(customer)
    windows = [first, *[await first.context.new_page() for _ in range(WINDOWS - 1)]]
    await asyncio.gather(*(window.goto(first.url) for window in windows))
    for window in windows:
        await expect(window.locator("#standing")).to_have_attribute("data-state", "live")
    await site.record(customer)
    for window in windows:
        await expect(window.locator("#statuses .whole")).to_have_text("2")
