"""All functions of a customer, in a browser without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]


async def test_filter_decide_and_see_it(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": "T-1"}, {"unit": "T-2"}, {"status": "COMPLETED"}])
    page = await visit(customer, "/customer/repairs/", java_script_enabled=False)
    await page.get_by_role("checkbox", name="Waiting for you").check()
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("#length")).to_have_text("2 repairs")
    await expect(page.get_by_role("button", name=re.compile("Choose all"))).to_be_hidden()
    await page.get_by_role("checkbox", name=re.compile("Choose unit T-1")).check()
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_role("heading", name="1 repair denied")).to_be_visible()
    await expect(page.locator("#length")).to_have_text("1 repair")
    await page.get_by_role("rowheader").get_by_role("link").click()
    await page.get_by_label("Reason").fill("ok")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()


async def test_nothing_chosen_is_said_in_words(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": "T-1"}])
    page = await visit(customer, "/customer/repairs/", java_script_enabled=False)
    await page.get_by_label("Reason").fill("why")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("Chosen repairs")
    await expect(page.get_by_label("Reason")).to_have_value("why")


async def test_a_cost_that_has_changed_is_asked_about_again(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    made = await site.record(customer, cost="89.00")
    await site.counted(customer)
    page = await visit(
        customer, f"/customer/repairs/{made['repair_id']}/", java_script_enabled=False
    )
    await site.writer.correct(made["repair_id"], {"cost": "260.00"})
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("260.00")
    await expect(page.get_by_text("$260.00").first).to_be_visible()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()


async def test_request_with_a_fault_then_without(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    page = await visit(customer, "/customer/repairs/new/", java_script_enabled=False)
    await expect(page.get_by_role("group", name="Break 3")).to_be_visible()
    await expect(page.get_by_role("button", name="Add another break")).to_be_hidden()
    third = page.get_by_role("group", name="Break 3").get_by_label("Kind")
    await third.fill("Chip")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("alert")).to_contain_text("Unit")
    await expect(third).to_have_value("Chip")
    await page.get_by_label("Unit").fill("T-1")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_text("Your request is recorded.")).to_be_visible()


async def test_the_company_can_be_changed(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.counted(customer)
    page = await visit(customer, "/customer/profile/", java_script_enabled=False)
    await page.get_by_label("Phone").fill("+1 608 555 0117")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Your changes are saved.")).to_be_visible()
    await expect(page.get_by_label("Phone")).to_have_value("+1 608 555 0117")
