"""The company's profile: the fields that its users see and may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Page, expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    Visit = Callable[..., Awaitable[Page]]

COMPANY = "/customer/profile/"


async def test_what_is_changed_is_saved_and_what_is_wrong_is_said(visit: Visit, site: Site) -> None:
    customer = await site.customer("Cedar & <Sons>", city="Joliet", address="1 Main St\nDock 4")
    await site.counted(customer)
    page = await visit(customer, COMPANY)
    await expect(page.get_by_text("Cedar & <Sons>")).to_be_visible()
    await page.get_by_label("E-mail").fill("not an address")
    await page.get_by_label("City").fill("Aurora")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("E-mail")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_label("City")).to_have_value("Aurora")
    await page.get_by_label("E-mail").fill("fleet@cedar.example")
    await page.get_by_role("button", name="Save").click()
    await expect(
        page.get_by_role("status").filter(has_text="Your changes are saved.")
    ).to_be_focused()
    held = await site.writer.call("GET", f"/v1/customers/{customer}")
    assert held.body["email"] == "fleet@cedar.example"
    assert held.body["address"] == "1 Main St\nDock 4"
    await expect(page.get_by_label("City")).to_have_value("Aurora")


async def test_two_colleagues_do_not_overwrite_each_other(visit: Visit, site: Site) -> None:
    customer = await site.customer(phone="1")
    await site.counted(customer)
    mine, theirs = [await visit(customer, COMPANY) for _ in range(2)]
    await theirs.get_by_label("Phone").fill("222")
    await theirs.get_by_role("button", name="Save").click()
    await expect(theirs.get_by_text("Your changes are saved.")).to_be_visible()
    await mine.get_by_label("City").fill("Aurora")
    await mine.get_by_role("button", name="Save").click()
    await expect(mine.get_by_role("alert")).to_be_focused()
    await expect(mine.get_by_label("City")).to_have_value("Aurora")
    held = await site.writer.call("GET", f"/v1/customers/{customer}")
    assert (held.body["phone"], held.body["city"]) == ("222", "")
