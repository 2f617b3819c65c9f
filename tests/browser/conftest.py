"""Fixtures of the browser ring: the whole system once, one Chromium, and signed-in pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from deploy.demo.writer import Writer
from playwright.async_api import Browser, Page, async_playwright
from tests.browser import chrome
from tests.browser.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from deploy.local.whole import Stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run this ring on one event loop, that of its one browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if chrome.CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="needs chromium: apt-get install chromium"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return Debian's Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=chrome.CHROMIUM, args=list(chrome.ARGUMENTS)
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(stack: Stack) -> AsyncIterator[Site]:
    """Return the whole running system."""
    found = stack.description
    async with Writer(found["urls"]["writer"], found["internal_key"]) as writer:
        yield Site.of(stack, writer)


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(browser: Browser, site: Site) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Return a function that opens an empty page in a new context with the given options.

    At the end no page may have logged an error or requested another origin.
    """
    contexts = []
    complaints: list[list[str]] = []

    async def open_page(**options: Any) -> Page:
        usual = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}}
        context = await browser.new_context(base_url=site.url, **{**usual, **options})
        contexts.append(context)
        complaints.append(chrome.watch(context, site.url))
        return await context.new_page()

    yield open_page
    for context in contexts:
        await context.close()
    assert [found for found in complaints if found] == []


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    new_page: Callable[..., Awaitable[Page]], site: Site
) -> Callable[..., Awaitable[Page]]:
    """Return a function that signs a customer in and opens a path, by default the dashboard."""

    async def open_path(
        customer_id: int | None, path: str = "/customer/dashboard/", **options: Any
    ) -> Page:
        page = await new_page(**options)
        await site.sign_in(page, customer_id)
        await page.goto(path)
        return page

    return open_path


@pytest.fixture
def sign_in(site: Site) -> Callable[[Page, int | None], Awaitable[None]]:
    """Return a function that signs a page's browser in as a user of a customer (None: without one)."""
    return site.sign_in


@pytest.fixture
def axe() -> Callable[[Page], Awaitable[list[str]]]:
    """Return a function that lists the findings of axe on a page."""
    if not chrome.AXE.is_file():
        pytest.skip("needs axe-core: npm ci")
    return chrome.violations
