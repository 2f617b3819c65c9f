"""Debian's Chromium with a page of the query API; a proxy adds the gateway's headers."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

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
    # A name that is no secure origin, like a portal without TLS in a company's network.
    "--host-resolver-rules=MAP portal.test 127.0.0.1",
]
PATH = "/customer/dashboard/"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the pages' tests without a browser."""
    if CHROMIUM is None:
        for item in items:
            if item.path.is_relative_to(HERE):
                item.add_marker(pytest.mark.skip(reason="needs chromium: apt-get install chromium"))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def visit(browser: Browser, api: Any) -> AsyncIterator[Any]:
    """Return a function that opens the page; at the end no page may have logged an error or left
    the origin.
    """
    complaints: list[str] = []

    async def open_page(customer_id: int = 1, *, at: str = api.url, **options: Any) -> Page:
        context = await browser.new_context(
            extra_http_headers=api.page_headers(customer_id),
            **{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options},
        )
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: _note(complaints, line.type, line.text))
        page.on("request", lambda request: _note_origin(complaints, request.url, at))
        await page.goto(at + PATH)
        return page

    yield open_page
    assert complaints == []


def _note(complaints: list[str], kind: str, text: str) -> None:
    if kind in {"error", "warning"} and "Failed to load resource" not in text:
        complaints.append(text)


def _note_origin(complaints: list[str], address: str, origin: str) -> None:
    if not address.startswith((origin + "/", "data:")):
        complaints.append(f"another origin: {address}")
