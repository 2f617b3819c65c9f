"""Requesting a repair: several breaks of one visit, their errors, and kept input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.async_api import Page, expect
from tests.browser.people import end_sessions, person, type_login

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

FORM = "/customer/repairs/new/"


async def test_one_visit_with_two_breaks_is_recorded_and_shown(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": "T-7"}, {"unit": "T-8"}])
    page = await visit(customer, FORM)
    suggested = page.locator("datalist#units option")
    assert await suggested.evaluate_all("all => all.map((one) => one.value)") == ["T-7", "T-8"]
    await page.get_by_label("Unit").fill("T-9")
    await page.get_by_role("group", name="Break 1").get_by_label("Kind").fill("Chip")
    await page.get_by_role("button", name="Add another break").click()
    second = page.get_by_role("group", name="Break 2")
    await expect(second.get_by_label("Kind")).to_be_focused()
    await second.get_by_label("Where and how large").fill("driver side, 12 mm")
    await page.get_by_label("Notes for us").fill("Keys at the gate")
    await page.get_by_role("button", name="Send the request").dblclick()
    await expect(
        page.get_by_role("status").filter(has_text="Your change is recorded")
    ).to_be_focused()
    await expect(page.locator("#length")).to_have_text("2 repairs")
    await expect(page.get_by_text("driver side, 12 mm")).to_be_visible()
    # Each of the two leads to the other.
    await page.get_by_role("rowheader").first.get_by_role("link").click()
    first = page.url
    visit_of = page.get_by_role("definition").filter(has=page.get_by_role("listitem"))
    await visit_of.get_by_role("link").click()
    await expect(page).not_to_have_url(first)
    await visit_of.get_by_role("link").click()
    await expect(page).to_have_url(first)
    await page.goto(FORM)
    await expect(page.get_by_label("Unit")).to_have_value("")


async def test_one_break_leads_to_its_repair(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    page = await visit(customer, FORM)
    await page.get_by_label("Unit").fill("T-1")
    await page.get_by_role("group", name="Break 1").get_by_label("Where").fill("<i>left</i>")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_text("Your request is recorded.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Unit T-1")).to_be_visible()
    await expect(page.get_by_text("<i>left</i>")).to_be_visible()
    await expect(page.get_by_text("No price yet")).to_be_visible()


async def test_each_fault_stands_at_its_field_and_what_was_typed_stays(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    page = await visit(customer, FORM)
    await page.get_by_label("Day").fill("1970-01-01")
    await page.get_by_role("group", name="Break 1").get_by_label("Kind").fill("Chip")
    await page.get_by_role("button", name="Send the request").click()
    summary = page.get_by_role("alert")
    await expect(summary).to_be_focused()
    await expect(summary.get_by_role("listitem")).to_have_count(2)
    for name in ("Unit", "Day"):
        field = page.get_by_label(name, exact=name == "Unit")
        await expect(field).to_have_attribute("aria-invalid", "true")
        item = summary.get_by_role("listitem").filter(has_text=re.compile(f"^{name}:"))
        said = (await item.inner_text()).partition(": ")[2]
        await expect(field).to_have_accessible_description(
            re.compile(re.escape(said), re.IGNORECASE)
        )
    await expect(page.get_by_role("group", name="Break 1").get_by_label("Kind")).to_have_value(
        "Chip"
    )
    await summary.get_by_role("link", name="Unit").click()
    await page.keyboard.type("T-1")
    await page.get_by_label("Day").fill("")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_text("Your request is recorded.")).to_be_visible()


async def test_what_was_typed_survives_leaving_and_can_be_thrown_away(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    page = await visit(customer, FORM)
    await page.get_by_label("Unit").fill("T-55")
    for number in (2, 3, 4):
        await page.get_by_role("button", name="Add another break").click()
        group = page.get_by_role("group", name=f"Break {number}")
        await group.get_by_label("Kind").fill(f"kind {number}")
    await page.goto("/customer/repairs/")
    await page.goto(FORM)
    await expect(page.get_by_text("What you typed before is back.")).to_be_visible()
    await expect(page.get_by_label("Unit")).to_have_value("T-55")
    last = page.get_by_role("group", name="Break 4").get_by_label("Kind")
    await expect(last).to_have_value("kind 4")
    await page.get_by_role("button", name="Start over").click()
    await expect(page.get_by_role("group", name="Break 4")).to_have_count(0)
    await expect(page.get_by_label("Unit")).to_have_value("")


async def test_a_request_whose_answer_was_lost_counts_once(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    page = await visit(customer, FORM)
    await page.get_by_label("Unit").fill("T-88")
    await page.get_by_role("group", name="Break 1").get_by_label("Kind").fill("Chip")
    await page.evaluate(
        "() => { const send = fetch; window.fetch = (...to) => send(...to).then(() => Promise.reject(TypeError())) }"
    )
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    await page.reload()
    await expect(page.get_by_text("What you typed before is back.")).to_be_visible()
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("heading", name="Unit T-88")).to_be_visible()
    await site.counted(customer)
    await page.goto("/customer/repairs/")
    await expect(page.locator("#length")).to_have_text("1 repair")
    await page.goto(FORM)
    await expect(page.get_by_label("Unit")).to_have_value("")


async def test_ten_breaks_are_the_most(visit: Visit, site: Site) -> None:
    page = await visit(await site.customer(), FORM)
    add = page.get_by_role("button", name="Add another break")
    for _ in range(9):
        await add.click()
    await expect(add).to_be_hidden()
    await expect(page.get_by_role("group", name=re.compile("Break"))).to_have_count(10)


async def test_a_session_that_ended_meanwhile_costs_nothing(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    page = await visit(customer, FORM)
    await page.get_by_label("Unit").fill("T-66")
    await page.get_by_role("group", name="Break 1").get_by_label("Kind").fill("Chip")
    await page.context.clear_cookies(name="sessionid")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # After signing in again in another tab, the user finds the input unchanged.
    await site.sign_in(page, customer)
    await page.goto(FORM)
    await expect(page.get_by_label("Unit")).to_have_value("T-66")


async def test_a_form_that_comes_back_through_the_sign_in_stands_at_its_own_address(
    new_page: Callable[..., Awaitable[Page]], site: Site
) -> None:
    username = await person(site, await site.customer())
    page = await new_page()
    await page.goto(FORM)
    # The page reads the length of the session once; later a warning of its end would appear.
    async with page.expect_response("**/accounts/session/"):
        await type_login(page, username)
    await page.get_by_label("Unit").fill("T-77")
    await end_sessions(site, username)
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("status")).to_contain_text("Your session has ended")
    await type_login(page, username)
    await expect(page.get_by_text("nothing of it has been sent")).to_be_visible()
    await expect(page).to_have_url(site.url + FORM)
    await page.reload()
    await expect(page.get_by_label("Unit")).to_have_value("T-77")
