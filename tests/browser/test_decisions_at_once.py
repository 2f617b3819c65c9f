"""Concurrent decisions: two clicks, two colleagues, a changed cost; one effect, one clear message."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]


async def waiting(site: Site, **fields: Any) -> tuple[int, str, str]:
    """Return a customer, a pending repair of it, and its page."""
    customer = await site.customer()
    repair = await site.record(customer, **fields)
    await site.counted(customer)
    repair_id = repair["repair_id"]
    return customer, repair_id, f"/customer/repairs/{repair_id}/"


async def happened(page: Page) -> list[str]:
    return await page.locator(".timeline .what strong").all_inner_texts()


async def test_two_clicks_decide_once(visit: Visit, site: Site) -> None:
    customer, _, path = await waiting(site)
    page = await visit(customer, path, java_script_enabled=False)
    await page.get_by_role("button", name="Approve").dblclick(no_wait_after=True)
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await page.goto(path)
    assert len(await happened(page)) == 2


async def test_the_back_button_and_another_click_decide_nothing_more(
    visit: Visit, site: Site
) -> None:
    customer, _, path = await waiting(site)
    page = await visit(customer, path, java_script_enabled=False)
    await page.get_by_role("button", name="Approve").click()
    await expect(page).to_have_url(re.compile(r"seen=\d+$"))
    await page.go_back()
    deny = page.get_by_role("button", name="Deny")
    if await deny.count():  # a browser may show the cached page
        await deny.click()
    await page.goto(path)
    assert len(await happened(page)) == 2


async def test_the_second_of_two_colleagues_is_told_what_the_first_did(
    visit: Visit, site: Site
) -> None:
    customer, _, path = await waiting(site)
    anna, bert = await asyncio.gather(
        visit(customer, path, java_script_enabled=False),
        visit(customer, path, java_script_enabled=False),
    )
    await anna.get_by_role("button", name="Approve").click()
    await expect(anna).to_have_url(re.compile(r"seen=\d+$"))

    async with bert.expect_navigation() as navigation:
        await bert.get_by_role("button", name="Deny").click()

    response = await navigation.value
    assert response is not None
    assert response.status == 409
    await expect(bert.get_by_text("Your company set this repair to Approved")).to_be_visible()
    await expect(bert.get_by_role("button", name="Deny")).to_have_count(0)


async def test_a_cost_that_changed_is_shown_and_asked_again(visit: Visit, site: Site) -> None:
    customer, repair_id, path = await waiting(site, cost="240.00")
    page = await visit(customer, path, java_script_enabled=False)
    await site.writer.correct(repair_id, {"cost": "260.00"})

    async with page.expect_navigation() as navigation:
        await page.get_by_role("button", name="Approve").click()

    response = await navigation.value
    assert response is not None
    assert response.status == 412
    await expect(page.get_by_text("the cost was 240.00 and is 260.00 now")).to_be_visible()
    await expect(page.locator(".price")).to_contain_text("260.00")
    await page.get_by_role("button", name="Approve").click()
    await expect(page).to_have_url(re.compile(r"seen=\d+$"))
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
