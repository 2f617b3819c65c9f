"""The list of repairs: its counts, its filters, and its notice when newer data exists."""

from __future__ import annotations

import csv
import io
import random
import re
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

LIST = "/customer/repairs/"
STATUSES = ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")


def a_fleet(count: int = 24) -> list[dict[str, Any]]:
    """Return repairs over all statuses, four units and three months of this year's start."""
    return [
        {
            "unit": f"T-{n % 4}",
            "status": STATUSES[n % 6],
            "repair_date": f"2026-{1 + n % 3:02}-{1 + n % 28:02}T15:00:00Z",
            "cost": f"{40 + n}.00",
            "description": f"chip number {n}",
        }
        for n in range(count)
    ]


def units_of(page: Page) -> Any:
    return page.get_by_role("table").get_by_role("rowheader")


async def test_filters_stand_in_the_address_and_can_be_removed_one_by_one(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet())
    page = await visit(customer, LIST)
    await expect(page.get_by_text("24 repairs", exact=True)).to_be_visible()
    form = page.get_by_role("search")
    await form.get_by_role("checkbox", name="Waiting for you").check()
    await form.get_by_role("checkbox", name="Denied").check()
    await form.get_by_label("Unit").fill("T-1")
    await form.get_by_role("button", name="Show").click()
    await page.wait_for_url(re.compile(r"/repairs/\?status=PENDING&status=DENIED&unit=T-1$"))
    # 1, 5, 13 and 17 of the fleet are waiting or denied, and on that unit.
    await expect(page.locator("#length")).to_have_text("4 repairs")
    await expect(units_of(page)).to_have_count(4)
    await page.get_by_role("link", name="Remove the filter Denied").click()
    await expect(page.locator("#length")).to_have_text("2 repairs")
    await page.go_back()
    await expect(page.locator("#length")).to_have_text("4 repairs")
    await expect(form.get_by_role("checkbox", name="Denied")).to_be_checked()
    await page.get_by_role("link", name="Remove all filters").click()
    await page.wait_for_url(re.compile(r"/customer/repairs/\??$"))


async def test_headings_sort_and_pages_hold_each_repair_once(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet())
    page = await visit(customer, f"{LIST}?limit=10")
    await page.get_by_role("columnheader", name="Cost").get_by_role("link").click()
    await expect(page.get_by_role("columnheader", name="Cost")).to_have_attribute(
        "aria-sort", "descending"
    )
    await page.goto(f"{LIST}?limit=10&sort=-cost")
    expected = [f"${40 + n}.00" for n in reversed(range(24))]
    for start in (0, 10, 20):
        await expect(page.locator("td.cost")).to_have_text(expected[start : start + 10])
        if start < 20:
            await page.get_by_role("link", name="Next page").click()
    await expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    await page.get_by_role("link", name="First page").click()
    await expect(page.locator("td.cost").first).to_have_text("$63.00")


async def test_every_number_on_the_dashboard_is_the_length_of_its_list(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet())
    page = await visit(customer)
    numbers: list[list[str]] = await page.evaluate(
        """() => [
          ...[...document.querySelectorAll("main a[data-count]")].map((a) =>
            [a.getAttribute("href"), a.dataset.count]),
          ...[...document.querySelectorAll("main tbody tr:has(a)")].map((row) =>
            [row.querySelector("a").getAttribute("href"), row.querySelector("td.n").textContent]),
        ]"""
    )
    assert len(numbers) > 12
    for address, number in random.sample(numbers, 3):
        await page.goto(address)
        said = f"{address} is said to be {number}"
        await expect(page.locator("#length"), said).to_have_text(re.compile(rf"^{number} "))
        what = page.get_by_role("table").get_by_role("rowheader")
        await expect(what, said).to_have_count(int(number))


async def test_the_file_has_the_lines_of_the_list(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    evil = "=HYPERLINK(1)<b>"
    await site.load(customer, [*a_fleet(12), {"unit": evil, "status": "DENIED"}])
    page = await visit(customer, f"{LIST}?status=DENIED&status=PENDING&sort=unit_number")
    shown = [text.partition(",")[0] for text in await units_of(page).all_text_contents()]
    assert evil in shown
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export CSV").click()
    download = await downloading.value
    assert re.fullmatch(r"repairs-\d{4}-\d\d-\d\d\.csv", download.suggested_filename)
    text = (await download.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["unit_number"].removeprefix("'") for row in rows] == shown
    assert [row["unit_number"] for row in rows if evil in row["unit_number"]] == [f"'{evil}"]


async def test_a_list_that_cannot_be_asked_for_says_so_and_keeps_what_was_typed(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    page = await visit(customer, f"{LIST}?month=2023-13&status=LOST&q=%3Cb%3E")
    await expect(page.get_by_role("alert")).to_contain_text("must be a month, written 2026-03")
    month = page.get_by_role("textbox", name="Month")
    await expect(month).to_have_value("2023-13")
    await expect(month).to_have_accessible_description(re.compile("must be a month"))
    await expect(page.get_by_label("Text")).to_have_value("<b>")
    await page.get_by_role("link", name="Show all repairs").click()
    await expect(page.get_by_role("heading", name="No repairs yet")).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name="Request a repair").click()
    await expect(page.get_by_role("heading", name="Request a repair")).to_be_visible()


async def test_many_are_decided_at_once_each_with_its_own_result(
    visit: Visit, site: Site, axe: Callable[[Page], Awaitable[list[str]]]
) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": f"T-{n}"} for n in range(3)] + [{"status": "DENIED"}])
    page = await visit(customer, f"{LIST}?status=PENDING&sort=unit_number")
    ids = await page.get_by_role("checkbox", name=re.compile("Choose unit")).evaluate_all(
        "boxes => boxes.map((box) => box.value)"
    )
    assert len(ids) == 3
    # Meanwhile the cost of the first one has risen, and the company has started the second.
    await site.writer.correct(ids[0], {"cost": "260.00"})
    await site.writer.status(ids[1], {"status": "IN_PROGRESS"})
    await page.get_by_role("button", name="Choose all 3").click()
    await expect(page.get_by_text("3 of 3 repairs chosen")).to_be_visible()
    await page.get_by_label("Reason").fill("Go on")
    await page.get_by_role("button", name="Approve").click()
    result = page.get_by_role("region", name="1 repair approved, 2 not")
    await expect(result).to_be_focused()
    await expect(result.get_by_role("listitem")).to_have_count(3)
    await expect(result).to_contain_text(re.compile("T-0.*260.00", re.DOTALL))
    await expect(result).to_contain_text(re.compile("T-2.*approved", re.DOTALL))
    assert await axe(page) == []
    # The list below already shows it, and the filter is still set.
    await expect(page.locator("#length")).to_have_text("1 repair")
    await expect(units_of(page)).to_have_text([re.compile("T-0")])


async def test_a_decision_on_nothing_says_what_is_lacking_and_leads_there(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    await site.load(customer, [{"unit": "T-1"}])
    page = await visit(customer, LIST)
    await page.get_by_role("button", name="Approve").click()
    trouble = page.get_by_role("alert")
    await expect(trouble).to_contain_text("Chosen repairs: must name at least one repair")
    await trouble.get_by_role("link", name="Chosen repairs").press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Unit", exact=True)).to_be_focused()


async def test_the_way_back_from_a_repair_leads_to_the_list_it_was_found_in(
    visit: Visit, site: Site
) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet())
    page = await visit(customer, f"{LIST}?status=PENDING&sort=unit_number")
    await units_of(page).first.get_by_role("link").click()
    # A decision, which loads another page, keeps it as well.
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("You approved this repair.")).to_be_visible()
    await page.get_by_role("link", name="Back to the list").click()
    await page.wait_for_url(re.compile(r"/repairs/\?status=PENDING&sort=unit_number$"))
    await expect(page.locator("#length")).to_have_text("3 repairs")


async def test_a_change_is_hinted_at_and_moves_no_row(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet(6))
    page = await visit(customer, f"{LIST}?sort=-changed_at")
    row = page.get_by_role("table").get_by_role("row").nth(1)
    before = await row.bounding_box()
    await site.load(customer, [{"unit": "NEW-1"}, {"unit": "NEW-2"}])
    hint = page.get_by_role("status").filter(has_text="2 changes to your repairs since you opened")
    # A screen reader reads it aloud, so it changes every ten seconds at most.
    await expect(hint).to_be_visible(timeout=20_000)
    assert await row.bounding_box() == before
    await expect(page.locator("#length")).to_have_text("6 repairs")
    await hint.get_by_role("button", name="Show").click()
    await expect(page.locator("#length")).to_have_text("8 repairs")


async def test_a_sheet_to_print_has_every_column_and_no_control(visit: Visit, site: Site) -> None:
    customer = await site.customer("Cedar & Sons")
    await site.load(customer, [{"unit": "T-1", "customer_notes": "Bay 4"}])
    page = await visit(customer, f"{LIST}?status=PENDING")
    await page.get_by_role("link", name="Print").click()
    await expect(page.get_by_role("cell", name="Bay 4")).to_be_visible()
    await page.emulate_media(media="print")
    await expect(page.get_by_role("heading", name="Repairs of Cedar & Sons")).to_be_visible()
    await expect(page.get_by_text("1 repair: Waiting for you")).to_be_visible()
    await expect(page.get_by_text(re.compile(r"As of .*, \w+ \d+, \d{4}$"))).to_be_visible()
    for control in await page.locator("button, input, summary, nav").all():
        await expect(control).to_be_hidden()


async def test_a_long_sheet_begins_on_its_first_page(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    await site.load(customer, a_fleet(30))
    page = await visit(customer, f"{LIST}?view=print")
    await page.emulate_media(media="print")
    breaks = "one => getComputedStyle(one).breakInside"
    # Together they would leave the first page empty when the list is longer than a page.
    holding = page.locator("main, main div:has(table), table, tbody")
    assert set(await holding.evaluate_all(f"all => all.map({breaks})")) == {"auto"}
    assert await page.locator("tbody tr").first.evaluate(breaks) == "avoid"
