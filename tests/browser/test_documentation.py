"""The API's documentation: its examples run unchanged through the gateway, and it is accessible."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from playwright.async_api import Page, expect
from tests.browser import chrome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

DOCS = "/customer/api/docs/"
#: Records the status of each response to a script of the page.
NOTING = """() => {
  const ask = window.fetch
  window.statuses = []
  window.fetch = async (...given) => {
    const answer = await ask(...given)
    window.statuses.push(answer.status)
    return answer
  }
}"""


async def test_every_example_runs_as_it_is_written(visit: Visit, site: Site) -> None:
    customer = await site.customer()
    repair = await site.record(customer, "A123")
    await site.counted(customer)
    page = await visit(customer, DOCS)
    said: asyncio.Queue[str] = asyncio.Queue()
    page.on("console", lambda message: said.put_nowait(message.text))
    await page.evaluate(NOTING)
    examples = await page.get_by_role("article").all()
    assert len(examples) == len(await page.get_by_label("Example: ").all())
    for article in examples:
        await page.evaluate("([id, tag]) => { window.repair_id = id; window.etag = tag }", [
            repair["repair_id"], await etag_for(page, article, repair["repair_id"])
        ])  # fmt: skip
        await page.evaluate(await article.get_by_label("Example: ").inner_text())
        async with asyncio.timeout(30):
            assert await said.get(), await article.inner_text()
    statuses: list[int] = await page.evaluate("statuses")
    assert len(statuses) == len(examples) - 1  # a stream is no fetch
    assert set(statuses) == {200, 201}


async def etag_for(page: Page, article: Any, repair_id: str) -> str:
    """Return the ETag for a change, requested as a script would."""
    address = await article.locator(".address").inner_text()
    path = "profile/" if "profile" in address else f"repairs/{repair_id}/"
    tag: str = await page.evaluate(
        "async (path) => (await (await fetch(path)).json()).etag", f"/customer/api/{path}"
    )
    await page.evaluate("statuses.pop()")
    return tag


async def test_the_documentation_is_fit_for_everybody(
    visit: Visit, site: Site, axe: Callable[[Page], Awaitable[list[str]]]
) -> None:
    customer = await site.customer()
    await site.counted(customer)
    page = await visit(customer, DOCS)
    await chrome.photograph(page, "documentation")
    for width, scheme in ((390, "dark"), (1280, "light")):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await axe(page) == []
    await (
        page.get_by_role("navigation", name="Contents")
        .get_by_role("link", name="Approve or deny many repairs")
        .click()
    )
    await expect(
        page.get_by_role("heading", name="Approve or deny many repairs")
    ).to_be_in_viewport()
