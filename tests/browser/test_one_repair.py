"""The page of one repair: its history, and the decision bound to the state shown."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]


async def a_pending_one(site: Site, **repair: Any) -> tuple[int, str, str]:
    """Create a customer with one pending repair; return both ids and the repair's path."""
    customer = await site.customer()
    made = await site.record(customer, **repair)
    await site.counted(customer)
    return customer, made["repair_id"], f"/customer/repairs/{made['repair_id']}/"


async def events_of(site: Site, repair_id: str) -> int:
    """Return the number of a repair's decisions in the writer's stream."""
    found = await site.writer.call("GET", f"/v1/repairs/{repair_id}")
    return int(found.body["revision"])


async def test_a_decision_shows_at_once_with_its_reason(visit: Visit, site: Site) -> None:
    customer, _, path = await a_pending_one(site, cost="120.00", customer_notes="Bay 4")
    page = await visit(customer, path)
    await expect(page.get_by_text("$120.00").first).to_be_visible()
    await page.get_by_label("Reason").fill("Windshield <b>will</b> be replaced")
    await page.get_by_role("button", name="Deny").click()
    await expect(
        page.get_by_role("status").filter(has_text="You denied this repair.")
    ).to_be_focused()
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    latest = page.get_by_role("region", name="What happened").get_by_role("listitem").first
    await expect(latest).to_contain_text("Denied by your company")
    await expect(latest).to_contain_text("Windshield <b>will</b> be replaced")
    # The notice appears once: a reload or a shared link shows the page without it.
    assert page.url.endswith(path)
    await page.reload()
    await expect(page.get_by_text("You denied this repair.")).to_have_count(0)


async def test_a_cost_that_has_changed_is_shown_and_asked_about_again(
    visit: Visit, site: Site
) -> None:
    customer, repair_id, path = await a_pending_one(site, cost="89.00")
    page = await visit(customer, path)
    await site.writer.correct(repair_id, {"cost": "260.00"})
    await page.get_by_label("Reason").fill("As agreed")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("260.00"))
    await expect(
        page.get_by_role("heading", name=re.compile("Approve it as it is now"))
    ).to_be_visible()
    await expect(page.get_by_text("$260.00").first).to_be_visible()
    await expect(page.get_by_label("Reason")).to_have_value("As agreed")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()


async def test_a_reason_that_is_too_long_is_no_change_of_the_repair(
    visit: Visit, site: Site
) -> None:
    customer, _, path = await a_pending_one(site)
    page = await visit(customer, path)
    reason = page.get_by_label("Reason")
    await reason.evaluate("field => field.removeAttribute('maxlength')")
    await reason.fill("x" * 1001)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("One thing needs another look")
    await expect(reason).to_have_value("x" * 1001)
    waits = page.get_by_role("heading", name="This repair waits for your decision")
    await expect(waits).to_be_visible()


async def test_a_decision_that_comes_too_late_says_what_happened_and_by_whom(
    visit: Visit, site: Site
) -> None:
    customer, repair_id, path = await a_pending_one(site)
    page = await visit(customer, path)
    await site.writer.status(repair_id, {"status": "IN_PROGRESS", "reason": "Called by phone"})
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    latest = page.get_by_role("region", name="What happened").get_by_role("listitem").first
    await expect(latest).to_contain_text("Work began by RS Wind")


async def test_two_colleagues_at_once_decide_once(visit: Visit, site: Site) -> None:
    customer, repair_id, path = await a_pending_one(site)
    before = await events_of(site, repair_id)
    pages = [await visit(customer, path) for _ in range(2)]
    await asyncio.gather(
        pages[0].get_by_role("button", name="Approve").click(),
        pages[1].get_by_role("button", name="Deny").click(),
    )
    for page in pages:
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    told = [await page.get_by_role("alert").count() for page in pages]
    assert sorted(told) == [0, 1]
    assert await events_of(site, repair_id) == before + 1


async def test_a_double_click_and_the_back_button_decide_once(visit: Visit, site: Site) -> None:
    customer, repair_id, path = await a_pending_one(site)
    before = await events_of(site, repair_id)
    page = await visit(customer, "/customer/repairs/")
    await page.goto(path)
    await page.get_by_role("button", name="Approve").dblclick()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()
    await page.go_back()
    await page.go_forward()
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert await events_of(site, repair_id) == before + 1


async def test_when_the_portal_cannot_be_reached_nothing_typed_is_lost(
    visit: Visit, site: Site
) -> None:
    customer, _, path = await a_pending_one(site)
    page = await visit(customer, path)
    await page.get_by_label("Reason").fill("As agreed")
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    await expect(page.get_by_label("Reason")).to_have_value("As agreed")
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()
