"""The page in Debian's Chromium, against the real query api; a proxy's headers stand for the gateway."""

import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from service_runtime.clock import SystemClock

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
PATH = "/customer/dashboard/"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def visit(browser: Browser, api: Any) -> AsyncIterator[Any]:
    """Return what opens the page; at the end no page may have complained or gone elsewhere."""
    complaints: list[str] = []

    async def open_page(customer_id: int = 1, **options: Any) -> Page:
        context = await browser.new_context(
            extra_http_headers=api.page_headers(customer_id),
            **{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options},
        )
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: _note(complaints, line.type, line.text))
        page.on("request", lambda request: _note_origin(complaints, request.url, api.url))
        await page.goto(api.url + PATH)
        return page

    yield open_page
    assert complaints == []


def _note(complaints: list[str], kind: str, text: str) -> None:
    if kind in {"error", "warning"} and "Failed to load resource" not in text:
        complaints.append(text)


def _note_origin(complaints: list[str], address: str, origin: str) -> None:
    if not address.startswith((origin + "/", "data:")):
        complaints.append(f"another origin: {address}")


async def test_the_three_charts_show_the_customers_numbers(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    page = await visit()
    units = page.get_by_role("figure", name="Repairs by unit")
    await expect(units.locator("rect")).to_have_count(3)
    assert await units.locator("svg .value").all_text_contents() == ["6", "4", "2"]
    months = page.get_by_role("figure", name="Repairs by month")
    await expect(months.locator("circle")).to_have_count(3)
    assert await months.locator("circle title").all_text_contents() == [
        f"{name} 2026: 4 repairs" for name in ("January", "February", "March")
    ]
    statuses = page.get_by_role("figure", name="Repairs by status")
    await expect(statuses.locator("path")).to_have_count(6)
    await expect(statuses.locator("svg .whole")).to_have_text("12")
    assert await page.get_by_role("definition").all_inner_texts() == ["8", "2", "2", "12"]


async def test_the_script_says_what_the_server_said(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, datetime(2026, 3, 5, 20, 3, 4, tzinfo=UTC))
    texts = []
    for script in (False, True):
        page = await visit(java_script_enabled=script)
        if script:
            await expect(page.locator("#units rect")).to_have_count(3)
        texts.append(
            {
                "sentences": await page.locator("[data-sentence]").all_inner_texts(),
                "tables": await page.locator("tbody").all_text_contents(),
                "figures": await page.locator("dd").all_inner_texts(),
                "summaries": await page.locator("summary").all_text_contents(),
                "standing": await page.locator("#standing").text_content(),
            }
        )
    plain, drawn = ({k: _squeeze(v) for k, v in one.items()} for one in texts)
    assert plain == drawn


def _squeeze(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    return [re.sub(r"\s+", "", text) for text in texts]


async def test_a_change_is_on_the_screen_without_a_reload(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    await read_model.publish(1)
    page = await visit()
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await read_model.put(1, [*a_fleet, repair("new", "REQUESTED")])
    await read_model.publish(1)
    await expect(page.locator("#statuses .whole")).to_have_text("13")
    await expect(page.locator("#units rect")).to_have_count(4)
    await expect(page.locator('[data-figure="open"]')).to_have_text("9")
    await expect(page.get_by_role("status")).to_have_text(re.compile("13 repairs in all"))


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


async def test_nothing_is_drawn_where_there_is_nothing(visit: Any) -> None:
    page = await visit()
    await expect(page.get_by_text("No repairs yet.", exact=False)).to_have_count(3)
    await expect(page.locator("svg")).to_have_count(0)


async def test_one_failed_list_leaves_the_rest_and_can_be_tried_again(
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
    again = page.get_by_role("figure", name="Repairs by unit").get_by_role("button")
    await expect(page.get_by_text("request abc-12345")).to_have_count(2)
    await expect(page.locator("#statuses .whole")).to_have_text("12")
    await expect(page.locator("#standing")).to_have_attribute("data-state", "offline")
    fails = False
    await again.click()
    await expect(page.locator("#units rect")).to_have_count(3)
    await expect(page.locator("#standing")).not_to_have_attribute("data-state", "offline")


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
    await expect(page.locator("#units rect")).to_have_count(2)
    await expect(page.locator("main img")).to_have_count(0)


async def test_two_customers_in_one_browser_never_see_each_others_answers(
    visit: Any, api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair("mine")], refold=7)
    await read_model.put(2, [repair("theirs"), repair("theirs")], revision=1, refold=7)
    page = await visit(1)
    await expect(page.locator("#units .units-axis")).to_have_text("mine")
    await page.context.set_extra_http_headers(api.page_headers(2))
    # The browser holds the other's answers under the same addresses, at the same revision.
    await page.goto(api.url + "/customer/api/unit-repair-data/")
    await expect(page.locator("body")).to_contain_text("theirs")
    await page.go_back()
    await expect(page.locator("#units .units-axis")).to_have_text("theirs")
    await expect(page.locator("#statuses .whole")).to_have_text("2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_is_wider_than_the_screen(
    visit: Any, read_model: Any, a_fleet: Any, repair: Any, scheme: str
) -> None:
    await read_model.put(1, [*a_fleet, repair("W" * 50)], name="A-very-long-name-" * 6)
    page = await visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    await expect(page.locator("#units rect")).to_have_count(4)
    for summary in await page.locator("summary").all():
        await summary.click()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    for control in await page.locator("button, summary").all():
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 44
