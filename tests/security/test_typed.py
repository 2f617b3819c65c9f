"""Input of an interrupted form: shown again to its own user only."""

import json
from typing import Any

import pytest

from gateway import csrf
from gateway.testing.browser import Answered, Browser
from gateway.testing.portal import PASSWORD, Portal
from gateway.testing.wire import answer

LOGIN = "/accounts/login/"
PROFILE = "/customer/profile/"
PHONE = "555 0117"
PAGE = b"<!doctype html><title>the page again</title>"


async def save(browser: Browser, token: str, **headers: str) -> Answered:
    return await browser.submit(PROFILE, {"csrfmiddlewaretoken": token, "phone": PHONE}, **headers)


async def sign_in_again(browser: Browser, username: str) -> Answered:
    """Sign in on the page to which a form led after its session had ended."""
    fields = {
        "csrfmiddlewaretoken": browser.cookies["csrftoken"], "next": PROFILE,
        "username": username, "password": PASSWORD, "kept.phone": PHONE,
    }  # fmt: skip
    return await browser.submit(LOGIN, fields)


def asked_again(gate: Portal) -> dict[str, Any]:
    """Return the latest form state that the page received."""
    found: dict[str, Any] = json.loads(gate.query.received[-1].body)
    return found


@pytest.fixture
async def browser(gate: Portal) -> Browser:
    """Return a browser in which anna has signed in; bert is of her company, carl of another."""
    gate.query.default = answer(PAGE, content_type="text/html; charset=utf-8")
    await gate.add_user("bert", 42)
    await gate.add_user("carl", 43)
    return await gate.signed_in("anna", 42)


ENDS = {
    "idle": "UPDATE gateway.session SET last_seen_at = now() - interval '3 hours'",
    "age": "UPDATE gateway.session SET expires_at = now() - interval '1 second'",
    "swept": "DELETE FROM gateway.session",
    "signed out in another tab": "",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("username", ["anna", "bert", "carl"])
async def test_after_a_sign_in_it_is_shown_to_who_typed_it(
    gate: Portal, browser: Browser, end: str, username: str
) -> None:
    await (gate.execute(ENDS[end]) if ENDS[end] else browser.sign_out())
    told = await save(browser, browser.cookies["csrftoken"])
    assert (told.status, PHONE in told.text) == (403, True)

    answered = await sign_in_again(browser, username)

    if username == "anna":
        assert (answered.status, answered.body) == (200, PAGE)
        assert asked_again(gate)["values"] == {"phone": PHONE}
        return
    assert (answered.status, answered.body) == (302, b"")
    assert answered.header("location") == PROFILE
    assert not gate.query.received
    assert (await browser.get(PROFILE)).status == 200
    assert gate.query.received[-1].body == b""


async def test_a_page_is_its_visitors_whoever_the_browser_had_the_secret_of(
    gate: Portal, browser: Browser
) -> None:
    annas = browser.cookies["csrftoken"]
    await browser.sign_in("carl", PASSWORD)
    browser.cookies["csrftoken"] = annas  # by an earlier response that came late
    await browser.get(PROFILE)
    assert browser.cookies["csrftoken"] != annas
    token = gate.query.received[-1].header("x-csrf-token")
    assert csrf.is_of_one([browser.cookies["csrftoken"]], token)
    await gate.execute("DELETE FROM gateway.session")

    answered = await sign_in_again(browser, "anna")

    assert answered.status == 302, "carl had typed it"


@pytest.mark.parametrize(
    "whose", ["of nobody", "of a neighbour", "half of a neighbour's", "forged"]
)
async def test_a_meddled_secret_shows_nobody_what_another_typed(
    gate: Portal, browser: Browser, whose: str
) -> None:
    annas, berts = browser.cookies["csrftoken"], (await gate.sign_in("bert")).cookies["csrftoken"]
    users = await gate.execute("SELECT id FROM gateway.\"user\" WHERE username = 'anna'")
    await gate.execute("DELETE FROM gateway.session")
    browser.cookies["csrftoken"] = {
        "of nobody": csrf.new_secret(),
        "of a neighbour": berts,
        "half of a neighbour's": annas[:16] + berts[16:],
        "forged": csrf.UserSecrets("k1:" + "x" * 40).new(users[0]["id"]),
    }[whose]

    answered = await sign_in_again(browser, "anna")

    assert (answered.status, answered.body) == (302, b"")
    assert gate.query.received == []


async def test_a_form_of_before_a_sign_in_in_another_tab_is_shown_again(
    gate: Portal, browser: Browser
) -> None:
    old = csrf.mask(browser.cookies["csrftoken"])
    await browser.sign_in("anna", PASSWORD)

    answered = await save(browser, old, Origin="http://portal.test")

    assert (answered.status, answered.body) == (403, PAGE)
    assert answered.header("cache-control") == "no-store"
    shown = asked_again(gate)
    assert shown["values"] == {"phone": PHONE}
    assert "before you last signed in" in shown["notice"]
    token = gate.query.received[-1].header("x-csrf-token")
    assert csrf.is_of_one([browser.cookies["csrftoken"]], token), "the form can be sent now"
    assert gate.writer.received == []


@pytest.mark.parametrize(
    "why", ["another's form", "no token", "no session", "ended", "other origin", "other site"]
)
async def test_what_is_not_known_for_the_visitors_own_form_is_not_shown(
    gate: Portal, browser: Browser, why: str
) -> None:
    token = browser.cookies["csrftoken"]
    await browser.sign_in("bert" if why == "another's form" else "anna", PASSWORD)
    headers = {"Origin": "http://portal.test"}
    if why == "no token":
        token = csrf.mask(csrf.new_secret())
    elif why == "no session":
        browser.cookies.pop("sessionid")
    elif why == "ended":
        await gate.execute("DELETE FROM gateway.session")
    elif why == "other origin":
        headers = {"Origin": "https://evil.test"}
    elif why == "other site":
        headers = {"Sec_Fetch_Site": "same-site"}

    answered = await save(browser, token, **headers)

    assert answered.status == 403
    assert "This form has expired" in answered.text
    assert PHONE not in answered.text
    assert gate.query.received == gate.writer.received == []


async def test_a_program_with_an_old_token_is_refused_as_ever(
    gate: Portal, browser: Browser
) -> None:
    old = browser.cookies["csrftoken"]
    await browser.sign_in("anna", PASSWORD)

    answered = await browser.ask("PATCH", "/customer/api/profile/", body=b"{}", X_CSRFToken=old)

    assert (answered.status, json.loads(answered.body)["code"]) == (403, "csrf")
    assert gate.query.received == gate.writer.received == []
