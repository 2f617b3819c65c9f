"""Several session cookies in one browser: the one of a live session counts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.main import build
from gateway.testing.browser import Browser
from gateway.testing.portal import KEYS_QUERY, PASSWORD, Portal, portal
from portal_access.token import QUERY, TokenVerifier
from service_runtime.clock import SystemClock
from service_runtime.metrics import REGISTRY

UNITS = "/customer/api/unit-repair-data/"
STALE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
async def secure(database: Any) -> AsyncIterator[Portal]:
    """Return a gateway whose cookies are Secure."""
    async with portal(build, database.gateway_url, gateway_cookie_secure=True) as gate:
        yield gate


async def secure_sign_in(gate: Portal, name: str = "anna") -> Browser:
    await gate.add_user(name)
    browser = gate.browser(Origin="https://portal.test")
    assert (await browser.sign_in(name, PASSWORD)).status == 302
    return browser


def readings() -> float:
    return REGISTRY.get_sample_value("gateway_session_lookup_seconds_count") or 0.0


@pytest.mark.parametrize(
    "cookies",
    [
        "sessionid={live}",
        f"sessionid={STALE}; sessionid={{live}}",
        f"sessionid={{live}}; sessionid={STALE}",
        f"sessionid={{live}}; sessionid=junk; sessionid={STALE}",
        f"sessionid={STALE}; sessionid={{live}}; sessionid={OTHER}",
        f"__Host-sessionid={STALE}; sessionid={{live}}",
        f"__Host-sessionid={{live}}; sessionid={STALE}",
    ],
)
async def test_a_live_session_counts_and_no_cookie_is_taken_back(
    gate: Portal, cookies: str
) -> None:
    browser = await gate.signed_in()
    before = readings()

    answered = await browser.get(UNITS, Cookie=cookies.format(live=browser.cookies["sessionid"]))

    assert answered.status == 200
    assert answered.all("set-cookie") == []
    assert readings() - before == 1  # the same parser for all


async def test_where_no_session_lives_every_cookie_is_taken_back(gate: Portal) -> None:
    cookies = f"sessionid={STALE}; __Host-sessionid={OTHER}; sessionid=x"

    answered = await gate.browser().get(UNITS, Cookie=cookies)

    assert answered.status == 302
    gone = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax"
    assert answered.all("set-cookie") == [
        f'__Host-sessionid=""; {gone}; Secure',
        f'sessionid=""; {gone}',
    ]


async def test_secure_cookies_are_of_this_host_alone(secure: Portal) -> None:
    browser = await secure_sign_in(secure)

    assert {"__Host-sessionid", "__Host-portaldevice", "csrftoken"} == set(browser.cookies)
    assert (await browser.get(UNITS)).status == 200


async def test_the_cookie_of_this_host_wins_over_one_that_a_neighbour_sets(
    secure: Portal,
) -> None:
    anna = await secure_sign_in(secure)
    mallory = await secure_sign_in(secure, "mallory")
    planted = f"sessionid={mallory.cookies['__Host-sessionid']}"
    own = f"__Host-sessionid={anna.cookies['__Host-sessionid']}"

    for cookies in (f"{planted}; {own}", f"{own}; {planted}"):
        assert (await anna.get(UNITS, Cookie=cookies)).status == 200

    verifier, now = TokenVerifier(KEYS_QUERY, QUERY), SystemClock().now()
    tokens = [line.header("x-gateway-token") or "" for line in secure.query.received]
    assert [verifier.verify(token, now).username for token in tokens] == ["anna", "anna"]


async def test_a_plain_session_lives_on_when_cookies_become_secure(
    gate: Portal, database: Any
) -> None:
    browser = await gate.signed_in()
    async with portal(build, database.gateway_url, gateway_cookie_secure=True) as secure:
        later = secure.browser(Origin="https://portal.test")
        later.cookies = dict(browser.cookies)

        assert (await later.get(UNITS)).status == 200
        await later.sign_in("anna", PASSWORD)

        assert (await later.get(UNITS)).status == 200
        assert (await browser.get(UNITS)).status == 302
        assert len(await secure.execute("SELECT 1 FROM gateway.device")) == 1


async def test_signing_out_ends_every_session_that_was_presented(gate: Portal) -> None:
    anna = await gate.signed_in()
    again = await gate.sign_in()
    sessions = [anna.cookies["sessionid"], again.cookies["sessionid"]]
    token = anna.cookies["csrftoken"]

    answered = await anna.submit(
        "/accounts/logout/",
        {"csrfmiddlewaretoken": token},
        Cookie=f"csrftoken={token}; __Host-sessionid={sessions[0]}; sessionid={sessions[1]}",
    )

    names = [line.partition("=")[0] for line in answered.all("set-cookie")]
    assert names == ["__Host-sessionid", "sessionid"]
    assert await gate.execute("SELECT 1 FROM gateway.session") == []


async def test_signing_in_ends_every_session_that_was_presented(gate: Portal) -> None:
    browser = await gate.signed_in()
    planted = await gate.signed_in("mallory", 66)
    token = browser.cookies["csrftoken"]
    old = browser.cookies["sessionid"]

    answered = await browser.submit(
        "/accounts/login/",
        {"csrfmiddlewaretoken": token, "username": "anna", "password": PASSWORD},
        Cookie=f"csrftoken={token}; sessionid={planted.cookies['sessionid']}; sessionid={old}",
    )

    assert answered.status == 302
    assert len(await gate.execute("SELECT 1 FROM gateway.session")) == 1
    assert (await planted.get(UNITS)).status == 302


@pytest.mark.parametrize("foreign", ["before", "behind"])
async def test_a_csrf_cookie_of_a_parent_domain_does_not_stop_forms(
    gate: Portal, foreign: str
) -> None:
    browser = await gate.signed_in()
    token, session = browser.cookies["csrftoken"], browser.cookies["sessionid"]
    both = [f"csrftoken={'z' * 32}", f"csrftoken={token}"]
    cookies = "; ".join(both if foreign == "before" else reversed(both))

    answered = await browser.ask(
        "POST", "/accounts/session/", body=b"", X_CSRFToken=token,
        Cookie=f"{cookies}; sessionid={session}",
    )  # fmt: skip

    assert answered.status == 200


async def test_a_session_that_cannot_be_known_takes_no_cookie_back(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("ALTER TABLE gateway.session RENAME TO gone")

    answered = await browser.get(
        UNITS, Cookie=f"sessionid={STALE}; sessionid={browser.cookies['sessionid']}"
    )

    assert answered.status == 503
    assert answered.all("set-cookie") == []
