"""The page in Debian's Chromium, with the real query API; a proxy adds the gateway's headers."""

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, Route, expect

from service_runtime.clock import SystemClock

PATH = "/customer/dashboard/"


async def test_the_three_charts_show_the_customers_numbers(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit()
    units = page.get_by_role("figure", name="Repairs by unit")
    await expect(units.get_by_role("link")).to_have_text(["A1 6", "B2 4", "C é 2"])
    months = page.get_by_role("figure", name="Repairs by month")
    for name in ("January", "February", "March"):
        await expect(months.get_by_role("link", name=f"{name} 2026, 4 repairs")).to_have_count(1)
    statuses = page.get_by_role("figure", name="Repairs by status")
    await expect(statuses.get_by_role("link")).to_have_text(
        [
            f"{name} 2 · 17 %"
            for name in (
                *("Requested", "Waiting for you", "Approved"),
                *("In progress", "Completed", "Denied"),
            )
        ]
    )
    await expect(statuses.locator(".whole")).to_have_text("12")
    assert (await _values(page))[:3] == ["8", "2", "0"]


async def test_every_number_leads_to_the_repairs_that_it_counts(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit()
    await expect(page.locator("#units .bar-mark")).to_have_count(3)
    for name, address in {
        "Open 8": "repairs/?status=REQUESTED&status=PENDING&status=APPROVED&status=IN_PROGRESS",
        "Waiting for you 2 Approve or deny": "repairs/?status=PENDING",
        "Completed this month 0": f"repairs/?status=COMPLETED&month={_this_month()}",
        "Units repaired again this year": f"units/?year={_this_month()[:4]}&at_least=2",
        "C é 2 repairs": "repairs/?unit=C%20%C3%A9",
        "January 2026, 4 repairs": "repairs/?month=2026-01",
        "In progress 2": "repairs/?status=IN_PROGRESS",
        "Repairs": "repairs/",
    }.items():
        link = page.get_by_role("link", name=name, exact=name == "Repairs")
        assert await link.get_attribute("href") == f"/customer/{address}"
    changes = page.get_by_role("region", name="Latest changes").get_by_role("listitem")
    await expect(changes).to_have_count(8)
    latest = a_fleet[-1]
    assert await changes.first.get_by_role("link").get_attribute("href") == (
        f"/customer/repairs/{latest.repair_id}/"
    )


async def test_what_the_page_asks_by_itself_does_not_keep_a_session(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit(1)
    async with page.expect_request("**/customer/api/repair-status-data/") as asked:
        await page.evaluate("dispatchEvent(new Event('online'))")
    assert (await asked.value).headers["x-background"] == "1"


async def _values(page: Page) -> list[str]:
    return await page.locator("[data-figure] [data-value]").all_inner_texts()


def _this_month() -> str:
    return f"{SystemClock().now().astimezone(ZoneInfo('America/Chicago')):%Y-%m}"


async def test_the_script_says_what_the_server_said(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    now = SystemClock().now()
    await read_model.put(1, [*a_fleet, repair("A1", date=now), repair("A1", date=now)])
    await read_model.as_of(1, datetime(2026, 3, 5, 20, 3, 4, tzinfo=UTC))
    texts = []
    for script in (False, True):
        page = await visit(java_script_enabled=script)
        if script:
            await expect(page.locator("#units .bar-mark")).to_have_count(3)
            await page.get_by_text("All 3 units as a table").click()
        found = {
            name: await page.locator(selector).all_text_contents()
            for name, selector in {
                "sentences": "[data-sentence]",
                "tables": "tbody",
                "figures": "[data-figure]",
                "summaries": "summary",
                "changes": "[data-list]",
                "standing": "#standing",
            }.items()
        }
        links = "[...document.querySelectorAll('main a:not(.mark)')].map((a) => a.href)"
        texts.append({"links": await page.evaluate(links), **found})
    plain, drawn = ({k: [_squeeze(text) for text in v] for k, v in one.items()} for one in texts)
    assert plain == drawn


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


async def test_a_change_is_on_the_screen_without_a_reload(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    await read_model.publish(1)
    page = await visit()
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    now = SystemClock().now()
    await read_model.put(1, [*a_fleet, repair("new", "REQUESTED", date=now)])
    await read_model.publish(1)
    await expect(page.locator("#statuses .whole")).to_have_text("13")
    await expect(page.locator("#units .bar-mark")).to_have_count(4)
    await expect(page.locator('[data-figure="open"] [data-value]')).to_have_text("9")
    await expect(page.locator("#announcement")).to_have_text(re.compile("13 repairs in all"))
    await expect(page.locator(".changes li").first).to_contain_text("Requested")


async def test_a_change_leaves_the_keyboard_where_it_was(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    many = [repair(f"Bus {n:03}") for n in range(1, 151)]
    await read_model.put(1, [*a_fleet, *many])
    await read_model.as_of(1, SystemClock().now())
    await read_model.publish(1)
    page = await visit()
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await page.get_by_text(re.compile("units as a table")).click()
    table = page.get_by_role("region", name="Repairs by unit, table")
    latest = page.get_by_role("region", name="Latest changes")
    held = [table.get_by_role("link", name="Bus 140"), latest.get_by_role("link").first]
    for number, link in enumerate(held):
        address = await link.get_attribute("href")
        await link.focus()
        many.append(repair(f"More {number}"))
        await read_model.put(1, [*a_fleet, *many])
        await read_model.publish(1)
        await expect(page.locator("#statuses .whole")).to_have_text(str(len(a_fleet) + len(many)))
        now = "document.activeElement.getAttribute('href')"
        assert await page.evaluate(now) == address


async def test_a_restored_list_starts_the_page_anew(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    page = await visit()
    await expect(page.locator("#statuses .whole")).to_have_text("12")
    await read_model.put(1, a_fleet[:5], refold=2)
    await read_model.publish(1)
    await expect(page.locator("#statuses .whole")).to_have_text("5")


async def test_no_page_waits_for_what_nobody_has_shown(
    visit: Any, api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    async def hold(repairs: list[Any], refold: int) -> None:
        await read_model.put(1, repairs, refold=refold)
        await read_model.publish(1)

    await hold(a_fleet, 1)
    page = await visit()
    whole = page.locator("#statuses .whole")
    await page.goto(f"{api.url}/customer/repairs/?seen={2**53 - 1}")
    await expect(page.get_by_text("appears here in a moment")).to_be_visible()
    await page.goto(api.url + PATH)
    await hold([*a_fleet, repair("new")], 1)
    await expect(whole).to_have_text("13")
    # Nor for the old end of a stream that was restored to an earlier revision.
    await page.goto(f"{api.url}/customer/repairs/?seen=13")
    await hold(a_fleet[:5], 2)
    await page.goto(api.url + PATH)
    await hold([*a_fleet[:5], repair("new")], 2)
    await expect(whole).to_have_text("6")


async def test_nothing_is_drawn_where_there_is_nothing(visit: Any) -> None:
    page = await visit()
    await expect(page.get_by_text("No repairs yet.", exact=False)).to_have_count(4)
    await expect(page.locator("main svg")).to_have_count(0)
    assert await _values(page) == ["0", "0", "0", "0"]


async def test_one_failed_card_leaves_the_rest_and_can_be_tried_again(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    fails = True

    async def sometimes(route: Route) -> None:
        if fails:
            await route.fulfill(status=503, headers={"X-Request-Id": "abc-12345"})
        else:
            await route.continue_()

    page = await visit()
    await page.route("**/api/unit-repair-data/", sometimes)
    await page.reload()
    units = page.get_by_role("figure", name="Repairs by unit")
    await expect(units.get_by_role("alert")).to_contain_text("request abc-12345")
    await expect(page.locator("main svg")).to_have_count(2)
    await expect(page.locator("#statuses .whole")).to_have_text("12")
    await expect(page.locator("#standing")).not_to_have_attribute("data-state", "offline")
    fails = False
    await units.get_by_role("button", name="Try again").click()
    await expect(units.locator(".bar-mark")).to_have_count(3)
    await expect(units.get_by_role("alert")).to_be_hidden()


async def test_offline_keeps_what_is_known_and_says_of_when_it_is(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    page = await visit()
    standing = page.locator("#standing")
    await expect(standing).to_have_attribute("data-state", "live")
    await page.context.set_offline(True)
    await expect(standing).to_contain_text("You are offline. These are the figures of")
    aloud = page.locator("#announcement")
    await expect(aloud).to_contain_text("You are offline.")
    await expect(page.locator("#units [data-as-of]")).to_contain_text("as of")
    await expect(page.locator("#units .bar-mark")).to_have_count(3)
    await page.context.set_offline(False)
    await expect(standing).not_to_have_attribute("data-state", "offline")
    await expect(page.locator("#units [data-as-of]")).to_be_empty()
    await expect(aloud).to_contain_text(re.compile("^(Live, a|A)s of "))


async def test_when_streams_fail_the_page_asks_from_time_to_time(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    page = await visit()
    await page.clock.install()
    await page.route("**/api/events/", lambda route: route.fulfill(status=503))
    await page.reload()
    await expect(page.locator("#statuses .whole")).to_have_text("12")
    await read_model.put(1, [*a_fleet, repair("new", "REQUESTED")])
    await read_model.publish(1)
    await page.clock.run_for(11_000)
    await expect(page.locator("#statuses .whole")).to_have_text("13")
    await expect(page.locator("#standing")).not_to_have_attribute("data-state", "live")


async def test_a_stream_that_falls_silent_is_not_called_live(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    page = await visit()
    await page.clock.install()
    await page.reload()
    standing = page.locator("#standing")
    await expect(standing).to_have_attribute("data-state", "live")
    await page.route("**/api/events/", lambda route: route.fulfill(status=503))
    await page.clock.run_for(5_000)
    await expect(standing).to_have_attribute("data-state", "live")
    await page.clock.run_for(13_000)
    await expect(standing).to_have_attribute("data-state", "page")


async def test_tabs_share_one_stream_and_a_hidden_one_has_none(
    visit: Any, api: Any, read_model: Any, repair: Any, eventually: Any
) -> None:
    repairs = [repair("first")]
    await read_model.put(1, repairs)
    first = await visit()
    await expect(first.locator("#standing")).not_to_have_attribute("data-state", "page")
    second = await first.context.new_page()
    await second.goto(api.url + PATH)
    revisions = api.parts.revisions

    async def one() -> bool:
        return bool(revisions.watchers(1) == 1)

    await eventually(one)
    await read_model.put(1, [*repairs, repair("new")])
    await read_model.publish(1)
    for page in (first, second):
        await expect(page.locator("#statuses .whole")).to_have_text("2")
    assert await one()
    # The page with the stream closes: the other takes it over.
    await first.close()
    await read_model.put(1, [*repairs, repair("new"), repair("newer")])
    await read_model.publish(1)
    await expect(second.locator("#statuses .whole")).to_have_text("3")
    await eventually(one)
    await second.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )

    async def none() -> bool:
        return bool(revisions.watchers(1) == 0)

    await eventually(none)


async def test_arrow_keys_walk_the_marks_of_a_chart_which_is_one_stop(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit()
    units = page.get_by_role("figure", name="Repairs by unit")
    await expect(units.locator(".bar-mark")).to_have_count(3)
    links = units.get_by_role("group").get_by_role("link")
    await links.first.focus()
    tip = units.locator(".tip")
    await page.keyboard.press("ArrowDown")
    await expect(links.nth(1)).to_be_focused()
    await expect(tip).to_have_text("B24 repairs, 33 % of all")
    await page.keyboard.press("Escape")
    await expect(tip).to_be_hidden()
    await page.keyboard.press("End")
    await expect(links.nth(2)).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(units.locator("summary")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await expect(links.nth(2)).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/customer/repairs/?unit=C%20%C3%A9")


async def test_all_units_are_sorted_and_searched(visit: Any, read_model: Any, repair: Any) -> None:
    names = [f"Bus {n}" for n in range(1, 101)]
    await read_model.put(1, [repair(name) for name in [*names, "Bus 9", "Bus 10"]])
    page = await visit()
    await page.get_by_text("All 100 units as a table").click()
    units = page.get_by_role("region", name="Repairs by unit, table")
    rows = units.get_by_role("rowheader")
    await expect(rows).to_have_count(100)
    assert (await rows.all_inner_texts())[:3] == ["Bus 9", "Bus 10", "Bus 1"]
    await units.get_by_role("button", name="Unit").click()
    assert (await rows.all_inner_texts())[:3] == ["Bus 1", "Bus 2", "Bus 3"]
    await expect(units.get_by_role("columnheader", name="Unit")).to_have_attribute(
        "aria-sort", "ascending"
    )
    await page.get_by_role("searchbox", name="Find a unit").fill("bus 10")
    await expect(rows).to_have_text(["Bus 10", "Bus 100"])
    await expect(page.get_by_text("2 of 100 units")).to_be_visible()


async def test_without_script_the_tables_are_there(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit(java_script_enabled=False)
    await expect(page.get_by_role("cell", name="6", exact=True)).to_be_visible()
    await expect(page.get_by_role("rowheader", name="January 2026")).to_be_visible()
    await expect(page.locator(".chart").first).to_be_hidden()


async def test_names_of_units_are_only_text(visit: Any, read_model: Any, repair: Any) -> None:
    await read_model.put(1, [repair('<img src=x onerror="alert(1)">'), repair("'\"</script>")])
    page = await visit()
    await expect(page.locator("#units .bar-mark")).to_have_count(2)
    await expect(page.locator("main img")).to_have_count(0)


async def test_two_customers_in_one_browser_never_see_each_others_answers(
    visit: Any, api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair("mine")], refold=7)
    await read_model.put(2, [repair("theirs"), repair("theirs")], revision=1, refold=7)
    page = await visit(1)
    await expect(page.locator("#units .mark")).to_have_text("mine 1")
    await page.context.set_extra_http_headers(api.page_headers(2))
    # The browser holds the other customer's responses under the same addresses, at the same
    # revision.
    await page.goto(api.url + "/customer/api/unit-repair-data/")
    await expect(page.locator("body")).to_contain_text("theirs")
    await page.go_back()
    await expect(page.locator("#units .mark")).to_have_text("theirs 2")
    await expect(page.locator("#statuses .whole")).to_have_text("2")


async def test_a_page_of_another_customer_begins_anew(
    visit: Any, api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair("mine")], refold=7, name="Mine")
    await read_model.put(2, [repair("theirs")], refold=7, name="Theirs")
    page = await visit(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Mine")
    # Another user signs in with this browser, in another tab, while this one is open.
    await page.context.set_extra_http_headers(api.page_headers(2))
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Theirs")
    await expect(page.locator("#units .mark")).to_have_text("theirs 1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_is_wider_than_the_screen(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any, scheme: str
) -> None:
    await read_model.put(1, [*a_fleet, repair("W" * 50)], name="A-very-long-name-" * 6)
    page = await visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    await expect(page.locator("#units .bar-mark")).to_have_count(4)
    for summary in await page.locator("summary").all():
        await summary.click()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    for control in await page.locator(
        "button:visible, summary, nav a, main a:visible:not(.mark)"
    ).all():
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 44
