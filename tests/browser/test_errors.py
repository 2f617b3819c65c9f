"""Error pages: accessible and readable, in light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect
from tests.browser import chrome

from gateway import pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    NewPage = Callable[..., Awaitable[Page]]
    Visit = Callable[..., Awaitable[Page]]
    Axe = Callable[[Page], Awaitable[list[str]]]

MESSAGES = {
    name.lower().replace("_", "-"): message
    for name, message in vars(pages).items()
    if isinstance(message, pages.Message)
}


async def test_an_address_that_leads_nowhere_leads_back(visit: Visit, site: Site, axe: Axe) -> None:
    page = await visit(await site.customer(), "/customer/nowhere/")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    assert await axe(page) == []
    await page.get_by_role("link", name="Go to your dashboard").click()
    await expect(page).to_have_url(site.url + "/customer/dashboard/")


async def test_who_belongs_to_no_customer_is_told_so_and_can_sign_out(
    visit: Visit, axe: Axe
) -> None:
    page = await visit(None)
    await expect(page.get_by_role("heading", level=1)).to_have_text("No customer profile")
    assert await axe(page) == []
    await chrome.photograph(page, "no-profile")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("status")).to_have_text("You are signed out.")


@pytest.mark.parametrize("name", sorted(MESSAGES))
async def test_every_message_can_be_read_by_everybody(
    new_page: NewPage, site: Site, axe: Axe, name: str
) -> None:
    """The page is the gateway's own template and style, served at an address of the portal."""
    html = pages.Pages().message(MESSAGES[name], "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e").body
    page = await new_page(viewport={"width": 390, "height": 844})
    address = f"{site.url}/message/"
    await page.route(address, lambda route: route.fulfill(body=html, content_type="text/html"))
    await page.goto(address)
    await expect(page.get_by_role("heading", level=1)).to_have_text(MESSAGES[name].title)
    for scheme in chrome.SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        assert await axe(page) == []
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    for control in await page.get_by_role("link").or_(page.get_by_role("button")).all():
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    if name in {"away", "too-many", "not-found"}:
        await chrome.photograph(page, name)
