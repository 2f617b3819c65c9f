"""Isolation: two customers never see or change each other's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Page, expect
from tests.browser.people import end_sessions, person, type_login

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

PATHS = ("/customer/repairs/", "/customer/units/", "/customer/profile/", "/customer/repairs/new/")


async def test_one_after_the_other_in_one_browser(visit: Visit, site: Site) -> None:
    names = ("Alder Freight", "Birch Lines")
    customers = [await site.customer(name) for name in names]
    for customer, unit in zip(customers, ("ALDER-1", "BIRCH-1"), strict=True):
        await site.load(customer, [{"unit": unit}])
    page = await visit(customers[0], PATHS[0])
    await expect(page.get_by_role("rowheader")).to_contain_text("ALDER-1")
    one_repair = await page.get_by_role("rowheader").get_by_role("link").get_attribute("href")
    assert one_repair is not None
    await page.goto(PATHS[3])
    await page.get_by_label("Unit").fill("ALDER-2")
    await site.sign_in(page, customers[1])
    for path in PATHS:
        await page.goto(path)
        assert "ALDER" not in (await page.content()).upper()
    # The first user's draft in this tab stays with that user.
    await expect(page.get_by_label("Unit")).to_have_value("")
    answer = await page.goto(one_repair)
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_role("heading", name="There is no such repair")).to_be_visible()
    await page.go_back()
    assert "ALDER" not in (await page.content()).upper()


async def test_what_one_saw_is_never_uncovered_to_whoever_signs_in_after_her(
    visit: Visit, site: Site
) -> None:
    alder, birch = await site.customer("Alder Freight"), await site.customer("Birch Lines")
    await site.load(alder, [{"unit": "ALDER-1"}])
    await site.load(birch, [{"unit": "BIRCH-1"}])
    page = await visit(alder, PATHS[0])
    come_back = "document.dispatchEvent(new Event('visibilitychange'))"
    await page.context.clear_cookies(name="sessionid")
    await page.evaluate(come_back)
    await expect(page.get_by_role("dialog", name="You have been signed out")).to_be_visible()
    # In another tab a user of another fleet signs in.
    await site.sign_in(page, birch)
    await page.evaluate(come_back)
    await expect(page.get_by_role("rowheader")).to_contain_text("BIRCH-1")
    assert "ALDER" not in (await page.content()).upper()


async def test_a_stream_of_another_customer_counts_nothing_here(
    new_page: Callable[..., Awaitable[Page]], site: Site
) -> None:
    alder, birch = await site.customer("Alder Freight"), await site.customer("Birch Lines")
    await site.load(alder, [{"unit": "ALDER-1"}])
    await site.load(birch, [{"unit": f"BIRCH-{n}"} for n in range(5)])
    username = await person(site, alder)
    page = await new_page()
    await page.goto(PATHS[0])
    await type_login(page, username)
    await expect(page.get_by_role("rowheader")).to_contain_text("ALDER-1")
    await page.evaluate(
        "new MutationObserver(() => sessionStorage.setItem('hinted', document.body.innerText))"
        ".observe(document.querySelector('#hint'), { childList: true, subtree: true })"
    )
    # The page is open beside the tab in which a user of another fleet has signed in.
    await site.sign_in(page, birch)
    await end_sessions(site, username)
    await expect(page.get_by_role("rowheader")).to_have_count(5, timeout=20_000)
    assert "ALDER" not in (await page.content()).upper()
    assert await page.evaluate("sessionStorage.getItem('hinted')") is None


async def test_a_decision_on_somebody_elses_repair_finds_nothing(visit: Visit, site: Site) -> None:
    mine, theirs = await site.customer(), await site.customer()
    await site.load(mine, [{"unit": "MINE-1"}])
    other = await site.record(theirs, "THEIRS-1")
    page = await visit(mine, "/customer/repairs/")
    await page.evaluate(
        """([id, tag]) => {
          document.querySelector("[name=repair]").value = id;
          document.querySelector("[name^=etag-]").setAttribute("name", `etag-${id}`);
          document.querySelector("[name^=etag-]").value = `"${tag}"`;
        }""",
        [other["repair_id"], other["event_id"]],
    )
    await page.get_by_role("checkbox", name="Choose unit MINE-1").check()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="Nothing was decided")).to_be_visible()
    await expect(page.get_by_role("main")).not_to_contain_text("THEIRS-1")
    held = await site.writer.call("GET", f"/v1/repairs/{other['repair_id']}")
    assert held.body["status"] == "PENDING"
