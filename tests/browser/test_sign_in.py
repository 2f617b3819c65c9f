"""Signing in and out as a person does: its targets, and the traces that remain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect
from tests.browser import chrome
from tests.browser.people import end_sessions, person, type_login

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.browser.site import Site

    NewPage = Callable[..., Awaitable[Page]]
    Axe = Callable[[Page], Awaitable[list[str]]]

FILTERED = "/customer/repairs/?status=PENDING&unit=A1"


async def test_signing_in_leads_to_the_page_that_was_asked_for_with_its_filters(
    new_page: NewPage, site: Site, axe: Axe
) -> None:
    username = await person(site, await site.customer())
    page = await new_page()
    await page.goto(FILTERED)
    await expect(page).to_have_title(re.compile("Sign in"))
    await expect(page.get_by_label("Username")).to_be_focused()
    assert await axe(page) == []

    await type_login(page, username, "wrong")

    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("correct username and password")
    await expect(page.get_by_label("Username")).to_have_value(username)
    await expect(page.get_by_label("Password")).to_be_focused()
    await page.emulate_media(color_scheme="dark")
    assert await axe(page) == []
    await chrome.photograph(page, "sign-in-refused")

    await type_login(page, username)
    await expect(page).to_have_url(site.url + FILTERED)


async def test_after_signing_out_nothing_is_left_behind_the_back_button(
    new_page: NewPage, site: Site, axe: Axe
) -> None:
    customer = await site.customer("Secret Haulage")
    page = await new_page()
    await page.goto("/customer/dashboard/")
    await type_login(page, await person(site, customer))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Secret Haulage")

    await page.get_by_role("button", name="Sign out").click()

    await expect(page.get_by_role("status")).to_have_text("You are signed out.")
    assert await axe(page) == []
    await chrome.photograph(page, "signed-out")
    await page.go_back()
    await expect(page).to_have_title(re.compile("Sign in"))
    await expect(page.get_by_text("Secret Haulage")).to_have_count(0)


async def test_a_form_comes_back_as_it_was_typed_after_a_sign_in_in_its_midst(
    new_page: NewPage, site: Site, axe: Axe
) -> None:
    customer = await site.customer()
    await site.record(customer, "A1")
    await site.counted(customer)
    username = await person(site, customer)
    page = await new_page(java_script_enabled=False)
    await page.goto("/customer/repairs/new/")
    await type_login(page, username)
    await page.get_by_label("Unit", exact=True).fill('Truck "9" <b>')
    await page.get_by_label("Kind").first.fill("Crack")
    await page.get_by_label("Notes for us").fill("two\nlines")
    await end_sessions(site, username)

    await page.get_by_role("button", name="Send the request").click()

    await expect(page.get_by_role("status")).to_contain_text("Your session has ended")
    await type_login(page, username, "wrong")
    await type_login(page, username)
    await expect(page.get_by_label("Unit", exact=True)).to_have_value('Truck "9" <b>')
    await expect(page.get_by_label("Notes for us")).to_have_value("two\nlines")
    await expect(page.get_by_text("nothing of it has been sent")).to_be_visible()
    await page.get_by_role("button", name="Send the request").click()
    await expect(page).to_have_url(re.compile(r"/customer/repairs/[0-9a-f-]{36}/\?seen=\d+$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text('Unit Truck "9" <b>')


async def test_a_session_that_ended_leads_back_to_where_she_wanted_to_go(
    new_page: NewPage, site: Site
) -> None:
    username = await person(site, await site.customer())
    # With a script, a notice over the whole page may appear before the click.
    page = await new_page(java_script_enabled=False)
    await page.goto("/customer/profile/")
    await type_login(page, username)
    await expect(page).to_have_url(site.url + "/customer/profile/")
    await end_sessions(site, username)
    await page.get_by_role("navigation").get_by_role("link", name="Repairs").first.click()
    await expect(page).to_have_title(re.compile("Sign in"))
    await type_login(page, username)
    await expect(page).to_have_url(site.url + "/customer/repairs/")


@pytest.mark.parametrize("script", [False, True])
async def test_a_form_of_before_a_sign_in_in_another_tab_comes_back_as_it_was_typed(
    new_page: NewPage, site: Site, script: bool
) -> None:
    username = await person(site, await site.customer())
    page = await new_page(java_script_enabled=script)
    await page.goto("/customer/repairs/new/")
    await type_login(page, username)
    await page.get_by_label("Unit", exact=True).fill("Truck 9")
    await page.get_by_label("Kind").first.fill("Crack")
    other = await page.context.new_page()
    await other.goto("/accounts/login/")
    await type_login(other, username)
    await expect(other).to_have_url(site.url + "/customer/dashboard/")

    await page.get_by_role("button", name="Send the request").click()

    await expect(page.get_by_text("nothing of it has been sent")).to_be_visible()
    await expect(page.get_by_label("Unit", exact=True)).to_have_value("Truck 9")
    await expect(page.get_by_label("Kind").first).to_have_value("Crack")
    await page.get_by_role("button", name="Send the request").click()
    await expect(page).to_have_url(re.compile(r"/customer/repairs/[0-9a-f-]{36}/"))


async def test_what_was_typed_is_not_shown_to_who_signs_in_instead(
    new_page: NewPage, site: Site
) -> None:
    customer = await site.customer()
    username, colleague = await person(site, customer), await person(site, customer)
    page = await new_page(java_script_enabled=False)
    await page.goto("/customer/repairs/new/")
    await type_login(page, username)
    await page.get_by_label("Unit", exact=True).fill("Truck 9")
    await end_sessions(site, username)
    await page.get_by_role("button", name="Send the request").click()
    await expect(page.get_by_role("status")).to_contain_text("Your session has ended")

    await type_login(page, colleague)

    await expect(page).to_have_url(site.url + "/customer/repairs/new/")
    await expect(page.get_by_label("Unit", exact=True)).to_have_value("")
