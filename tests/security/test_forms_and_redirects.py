"""Targets of redirects, and acceptance of forms."""

from typing import Any

import pytest

from gateway import csrf
from gateway.main import build
from gateway.testing.portal import PASSWORD, Portal, portal

UNITS = "/customer/api/unit-repair-data/"
HOME = "/customer/dashboard/"
LOGIN = "/accounts/login/"

REFUSED = [
    "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "https:evil.test",
    "https:///evil.test", "javascript:alert(1)", "ftp://portal.test/x", "http://portal.test:80/",
    "http://user@portal.test/", "http://[::1", "\t//evil.test", "\b//evil.test", "/" + "a" * 2_048,
]  # fmt: skip
ACCEPTED = {
    "/app/": "/app/", "app": "app", "?a=1": "?a=1", "/app/#f": "/app/#f",
    "/é?x=ü": "/%C3%A9?x=%C3%BC", "/%2f%2fevil.test": "/%2f%2fevil.test",
    "/.//evil.test": "/.//evil.test", "//portal.test/x": "//portal.test/x",
    "http://portal.test/x": "http://portal.test/x", "https://portal.test/x": "https://portal.test/x",
    "/a\r\nSet-Cookie: x": "/a%0D%0ASet-Cookie:%20x",
}  # fmt: skip


async def test_case_59_60_63_signing_in_leads_where_django_led(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()
    wanted = {**dict.fromkeys(REFUSED, HOME), **ACCEPTED, LOGIN: HOME, "/accounts/logout/": HOME}

    for address, location in wanted.items():
        answered = await browser.sign_in("anna", PASSWORD, next=address)
        assert answered.status == 302
        assert answered.header("location") == location, address


async def test_case_61_70_over_https_only_https_is_ours(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_cookie_secure=True) as gate:
        await gate.add_user()
        browser = gate.browser()
        token = await browser.token()
        fields = {
            "csrfmiddlewaretoken": token, "username": "anna", "password": PASSWORD,
            "next": "http://portal.test/x",
        }  # fmt: skip

        refused = [
            await browser.submit(LOGIN, fields),
            await browser.submit(LOGIN, fields, Referer=f"http://portal.test{LOGIN}"),
            await browser.submit(LOGIN, fields, Referer="https://evil.test/"),
        ]
        taken = await browser.submit(LOGIN, fields, Referer=f"https://portal.test{LOGIN}")

        assert [answered.status for answered in refused] == [403, 403, 403]
        assert (taken.status, taken.header("location")) == (302, HOME)


async def test_case_62_the_forms_own_next_wins(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()
    token = await browser.token()

    answered = await browser.submit(
        f"{LOGIN}?next=/from/query/",
        {
            "csrfmiddlewaretoken": token,
            "username": "anna",
            "password": PASSWORD,
            "next": "/from/form/",
        },
    )

    assert answered.header("location") == "/from/form/"


async def test_case_64_signing_out_leads_only_here(gate: Portal) -> None:
    browser = await gate.signed_in()

    assert (await browser.sign_out(next="//evil.test")).header("location") == f"{LOGIN}?signed-out"


async def test_case_65_the_way_back_is_quoted_as_django_quoted_it(gate: Portal) -> None:
    answered = await gate.browser().get(f"{UNITS}?a=1&b=x%20y&c=/z&n=//evil")

    assert answered.header("location") == (
        f"{LOGIN}?next={UNITS}%3Fa%3D1%26b%3Dx%2520y%26c%3D/z%26n%3D//evil"
    )


async def test_case_66_a_forwarded_host_leaves_no_trace(gate: Portal) -> None:
    for path in (UNITS, UNITS[:-1], "/", LOGIN):
        answered = await gate.browser().get(
            path, X_Forwarded_Host="evil.test", X_Forwarded_Proto="https"
        )
        assert "evil.test" not in str(answered.headers)
        assert "https://evil" not in answered.text


@pytest.mark.parametrize(
    "where", ["no cookie", "no token", "wrong 32", "wrong 64", "10 characters"]
)
async def test_case_67_a_form_without_its_token_changes_nothing(gate: Portal, where: str) -> None:
    browser = await gate.signed_in()
    session = browser.cookies["sessionid"]
    tokens = {
        "no cookie": browser.cookies["csrftoken"],
        "no token": "",
        "wrong 32": csrf.new_secret(),
        "wrong 64": csrf.mask(csrf.new_secret()),
        "10 characters": "a" * 10,
    }
    if where == "no cookie":
        browser.cookies.pop("csrftoken")

    answered = await browser.submit(
        LOGIN, {"csrfmiddlewaretoken": tokens[where], "username": "anna", "password": PASSWORD}
    )

    assert answered.status == 403
    assert answered.header("content-type") == "text/html; charset=utf-8"
    assert answered.all("set-cookie") == []
    browser.cookies["sessionid"] = session
    assert (await browser.get(UNITS)).status == 200


async def test_case_68_both_forms_of_the_token_are_taken_from_field_or_header(gate: Portal) -> None:
    await gate.add_user()
    for masked in (True, False):
        for by_header in (True, False):
            browser = gate.browser()
            await browser.token()
            secret = browser.cookies["csrftoken"]
            token = csrf.mask(secret) if masked else secret
            fields = {"username": "anna", "password": PASSWORD}
            headers = {"X_CSRFToken": token} if by_header else {}
            if not by_header:
                fields["csrfmiddlewaretoken"] = token
            assert (await browser.submit(LOGIN, fields, **headers)).status == 302


async def test_case_69_another_origin_is_refused_whatever_its_token(gate: Portal) -> None:
    browser = await gate.signed_in()
    fields = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}

    for headers in (
        {"Origin": "null"},
        {"Origin": "https://evil.test"},
        {"Origin": "https://portal.test"},
        {"Origin": "http://portal.test:8080"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        answered = await browser.submit("/accounts/logout/", fields, **headers)
        assert answered.status == 403, headers
    assert (await browser.get(UNITS)).status == 200
    taken = await browser.submit("/accounts/logout/", fields, Origin="http://portal.test")
    assert taken.status == 302


async def test_case_71_a_link_or_a_picture_signs_nobody_out(gate: Portal) -> None:
    browser = await gate.signed_in()

    for method in ("GET", "HEAD"):
        answered = await browser.ask(method, "/accounts/logout/")
        assert (answered.status, answered.header("allow")) == (405, "POST, OPTIONS")
    assert (await browser.get(UNITS)).status == 200


async def test_case_72_the_token_changes_with_the_login(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()
    await browser.token()
    before = browser.cookies["csrftoken"]

    await browser.sign_in("anna", PASSWORD)

    assert browser.cookies["csrftoken"] != before


async def test_case_74_the_order_of_refusals_is_djangos(gate: Portal) -> None:
    stranger, browser = gate.browser(), await gate.signed_in()

    for method in ("POST", "PUT", "PATCH", "DELETE"):
        unsigned = await stranger.ask(method, UNITS)
        untold = await browser.ask(method, UNITS)
        refused = await browser.ask(method, UNITS, X_CSRFToken=browser.cookies["csrftoken"])
        assert (unsigned.status, untold.status, refused.status) == (403, 403, 405)
        assert unsigned.header("content-type") == "text/html; charset=utf-8"
        assert refused.header("allow") == "GET, HEAD"
        assert refused.body == b""
    assert (await stranger.ask("OPTIONS", UNITS)).status == 302
    assert (await stranger.ask("HEAD", UNITS)).status == 302
