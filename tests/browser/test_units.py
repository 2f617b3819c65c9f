"""Units with more than one repair: each number leads to exactly the counted repairs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]


async def test_a_unit_leads_to_its_repairs_of_the_year(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    evil = "=1+1<i>&"
    dates = ["2026-01-05T15:00:00Z", "2026-06-05T15:00:00Z", "2025-06-05T15:00:00Z"]
    repairs = [{"unit": unit, "repair_date": date} for unit in (evil, "B2") for date in dates]
    await site.load(customer, [*repairs, {"unit": "ONCE"}, {"unit": "B2"}])
    page = await visit(customer, "/customer/units/?year=2026&at_least=2")
    await expect(page.locator("#length")).to_have_text("2 units")
    await expect(page.get_by_role("rowheader")).to_have_text(["B2", evil])
    await page.get_by_role("link", name=f"2 repairs of unit {evil}").click()
    await expect(page.locator("#length")).to_have_text("2 repairs")
    await page.go_back()
    await page.get_by_label("Year").select_option("All years")
    await page.get_by_label("Repairs, at least").fill("")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url(re.compile(r"/customer/units/\??$"))
    await expect(page.locator("#length")).to_have_text("3 units")
    await expect(page.get_by_role("link", name=f"3 repairs of unit {evil}")).to_be_visible()
