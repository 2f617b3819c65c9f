"""The dashboard in the whole system: what the writer accepts is what a customer sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

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
