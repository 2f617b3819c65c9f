"""Updates of an open page: one stream for all windows of a browser, polls, and the calendar."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, Route, expect

from service_runtime.clock import SystemClock

PATH = "/customer/dashboard/"
# More than a browser's six connections to a host over HTTP/1.1.
WINDOWS = 7
BEYOND_A_DOUBLE = 2**53
HELD_BACK = "/customer/api/events/"
COUNTED_STREAMS = """
    window.opened = 0;
    window.EventSource = class extends EventSource {
        constructor(address) { super(address); window.opened += 1; }
    };
"""


@asynccontextmanager
async def buffering_proxy(target: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Run a proxy that opens the stream with a comment and holds back its events.

    Yield its address, and an event that is set when a stream was opened.
    """
    opened = asyncio.Event()

    async def forward(request: web.Request) -> web.StreamResponse:
        if request.path == HELD_BACK:
            held = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await held.prepare(request)
            await held.write(b": held back\n\n")
            opened.set()
            await asyncio.Event().wait()
        async with client.request(
            request.method, target + request.path_qs, headers=request.headers, allow_redirects=False
        ) as reply:
            kept = {k: v for k, v in reply.headers.items() if k.lower() != "content-length"}
            return web.Response(status=reply.status, headers=kept, body=await reply.read())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", opened
        finally:
            await runner.cleanup()


async def test_a_customer_beyond_a_double_is_followed(
    visit: Any, read_model: Any, repair: Any
) -> None:
    customer = 844197938335842304 + 1
    await read_model.put(customer, [repair("first")])
    page = await visit(customer)
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await read_model.put(customer, [repair("first"), repair("second")])
    await read_model.publish(customer)
    await expect(page.locator("#statuses .whole")).to_have_text("2")
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")


async def test_the_next_epoch_is_newer_beyond_a_double_as_well(
    visit: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet, refold=BEYOND_A_DOUBLE)
    page = await visit()
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    await read_model.put(1, a_fleet[:5], refold=BEYOND_A_DOUBLE + 1)
    await read_model.publish(1)
    await expect(page.locator("#statuses .whole")).to_have_text("5")


async def test_a_stream_without_an_event_is_not_live_and_stops_no_poll(
    visit: Any, api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    async with buffering_proxy(api.url) as (proxy, opened):
        page = await visit(at=proxy)
        await page.clock.install()
        opened.clear()
        await page.reload()
        async with asyncio.timeout(10):
            await opened.wait()
        standing = page.locator("#standing")
        # Three polls: in between, the page detects the silent stream and reopens it.
        for n in range(1, 4):
            await read_model.put(1, [*a_fleet, *(repair(f"new {k}") for k in range(n))])
            await read_model.publish(1)
            await expect(standing).not_to_have_attribute("data-state", "live")
            await page.clock.run_for(10_500)
            await expect(page.locator("#statuses .whole")).to_have_text(str(12 + n))
        await page.close()


async def test_a_stream_without_an_event_is_reopened_less_and_less_often(
    visit: Any, api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    async with buffering_proxy(api.url) as (proxy, _):
        page = await visit(at=proxy)
        await page.clock.install()
        await page.add_init_script(COUNTED_STREAMS)
        await page.reload()
        for _ in range(20):
            await page.clock.run_for(60_000)
        # Each is silent for 12.5 s: opened again at once, they are 96 in twenty minutes. The eighth
        # is opened after six minutes at the latest, the others after 160 to 315 s each.
        assert 10 <= await page.evaluate("opened") <= 20
        await page.close()


@pytest.mark.parametrize("clock", ["browser", "server"])
async def test_the_figures_are_asked_again_when_the_month_changes(
    visit: Any, read_model: Any, a_fleet: Any, eventually: Any, clock: str
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    page = await visit()
    await page.clock.install()
    await page.reload()
    await expect(page.locator("#standing")).to_have_attribute("data-state", "live")
    completed = page.locator('[data-figure="completed"]')
    address = await completed.get_attribute("href")
    later = SystemClock().now() + timedelta(days=40)

    async def next_month(route: Route) -> None:
        answer = await route.fetch()
        figures = await answer.json()
        figures["completed_this_month"] |= {"month": f"{later:%Y-%m}", "count": 3}
        await route.fulfill(response=answer, json=figures)

    async def sent_later(route: Route) -> None:
        answer = await route.fetch()
        date = f"{later:%a, %d %b %Y %H:%M:%S GMT}"
        await route.fulfill(response=answer, headers={**answer.headers, "date": date})

    await page.route("**/api/figures/", next_month)
    if clock == "browser":
        await page.clock.set_system_time(later)
    else:  # the browser's clock is slow
        await page.route("**/api/repair-status-data/", sent_later)

    async def asked_again() -> bool:
        await page.clock.run_for(1_000)
        return bool(await completed.get_attribute("href") != address)

    await eventually(asked_again)
    await expect(completed.locator("[data-value]")).to_have_text("3")
    assert (await completed.get_attribute("href") or "").endswith(f"&month={later:%Y-%m}")


@pytest.mark.parametrize("host", ["127.0.0.1", "portal.test"])
async def test_seven_windows_share_one_stream(
    visit: Any, api: Any, read_model: Any, a_fleet: Any, *, eventually: Any, host: str
) -> None:
    revisions = api.parts.revisions

    async def one_stream() -> bool:
        return bool(revisions.watchers(1) == 1)

    async def change(count: int, pages: list[Page]) -> None:
        await read_model.put(1, a_fleet[:count])
        await read_model.publish(1)
        for page in pages:
            await expect(page.locator("#statuses .whole")).to_have_text(str(count))

    await read_model.put(1, a_fleet[:5])
    await read_model.as_of(1, SystemClock().now())
    at = f"http://{host}:{urlsplit(api.url).port}"
    first = await visit(at=at)
    windows = [first, *[await first.context.new_page() for _ in range(WINDOWS - 1)]]
    await asyncio.gather(*(window.goto(at + PATH) for window in windows))
    # Only a secure origin has the browser's locks.
    assert await first.evaluate("'locks' in navigator") == (host == "127.0.0.1")
    for window in windows:
        assert await window.evaluate("document.visibilityState") == "visible"
        await expect(window.locator("#standing")).to_have_attribute("data-state", "live")
    await eventually(one_stream)
    await change(6, windows)
    assert await one_stream()
    # The page with the stream closes: another takes it over.
    while len(windows) > 1:
        await windows.pop(0).close()
        await eventually(one_stream)
    await change(7, windows)
