"""Signing in and out, on a real Postgres, as a browser does it."""

from typing import Any

import pytest

from gateway.main import build
from gateway.testing.portal import PASSWORD, Portal, portal

HOME = "/customer/dashboard/"
UNITS = "/customer/api/unit-repair-data/"


async def test_the_sign_in_page_has_a_form_and_gives_the_cookie_that_it_needs(gate: Portal) -> None:
    answered = await gate.browser().get("/accounts/login/?next=/customer/api/repairs/")

    assert answered.status == 200
    assert answered.header("vary") == "Cookie"
    assert answered.header("cache-control") == (
        "max-age=0, no-cache, no-store, must-revalidate, private"
    )
    cookie = answered.all("set-cookie")[0]
    assert cookie.startswith("csrftoken=")
    assert cookie.endswith("; Max-Age=31449600; Path=/; SameSite=Lax")
    assert '<input type="hidden" name="next" value="/customer/api/repairs/">' in answered.text
    assert "<script" not in answered.text
    assert "http://" not in answered.text
    assert "https://" not in answered.text


async def test_what_a_stranger_writes_into_the_address_is_escaped(gate: Portal) -> None:
    answered = await gate.browser().get(
        "/accounts/login/?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    )

    assert "<script" not in answered.text
    assert "&#34;&gt;&lt;script&gt;" in answered.text


async def test_a_right_password_begins_a_session_and_leads_on(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()

    answered = await browser.sign_in("anna", PASSWORD, next="/customer/api/repairs/?unit=A1")

    assert answered.status == 302
    assert answered.header("location") == "/customer/api/repairs/?unit=A1"
    assert answered.body == b""
    session = next(c for c in answered.all("set-cookie") if c.startswith("sessionid="))
    value, *attributes = session.removeprefix("sessionid=").split("; ")
    assert len(value) == 32
    assert value.isalnum()
    assert value == value.lower()
    assert attributes[1:] == ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=Lax"]
    assert (await browser.get(UNITS)).status == 200


async def test_cookies_are_secure_unless_a_setting_says_otherwise(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_cookie_secure=True) as gate:
        await gate.add_user()
        browser = gate.browser(Origin="https://portal.test")

        answered = await browser.sign_in("anna", PASSWORD)

        assert answered.status == 302
        assert all(cookie.endswith("; Secure") for cookie in answered.all("set-cookie"))
        assert not any("Domain" in cookie for cookie in answered.all("set-cookie"))
        assert answered.header("strict-transport-security") == "max-age=31536000"


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("anna", "wrong horse battery"),
        ("Anna", PASSWORD),
        ("anna", f" {PASSWORD}"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("unusable", PASSWORD),
    ],
)
async def test_every_wrong_login_looks_the_same(gate: Portal, username: str, password: str) -> None:
    await gate.add_user()
    await gate.add_user("gone")
    await gate.add_user("unusable", stored="!2YaFbTeNYiWcMog3QzXlAtxRrqmVNle7Pg5J95jR")
    await gate.execute("""UPDATE gateway."user" SET is_active = false WHERE username = 'gone'""")
    browser = gate.browser()

    answered = await browser.sign_in(username, password)

    assert answered.status == 200
    assert "Please enter a correct username and password" in answered.text
    assert "sessionid" not in browser.cookies
    assert PASSWORD not in answered.text


async def test_a_name_may_have_spaces_around_it(gate: Portal) -> None:
    await gate.add_user()

    assert (await gate.browser().sign_in("  anna ", PASSWORD)).status == 302


async def test_a_form_that_cannot_be_right_is_not_tried(gate: Portal) -> None:
    for username, password in (
        ("", "x"),
        ("anna", ""),
        ("a" * 300, "x"),
        ("an\0na", "x"),
        ("anna", "p" * 1_025),
    ):
        answered = await gate.browser().sign_in(username, password)

        assert answered.status == 200
        assert 'role="alert"' in answered.text
    assert await gate.execute("SELECT 1 FROM gateway.audit_event") == []


async def test_a_login_ends_the_session_that_the_browser_had(gate: Portal) -> None:
    browser = await gate.signed_in()
    old = browser.cookies["sessionid"]

    await browser.sign_in("anna", PASSWORD)

    assert browser.cookies["sessionid"] != old
    assert (await browser.get(UNITS)).status == 200
    browser.cookies["sessionid"] = old
    assert (await browser.get(UNITS)).status == 302


async def test_a_session_is_kept_under_its_hash_alone(gate: Portal) -> None:
    browser = await gate.signed_in()

    rows = await gate.execute("SELECT * FROM gateway.session")

    assert len(rows) == 1
    assert browser.cookies["sessionid"] not in str(rows)


async def test_signing_out_ends_the_session_and_clears_the_browser(gate: Portal) -> None:
    browser = await gate.signed_in()
    session = browser.cookies["sessionid"]

    answered = await browser.sign_out()

    assert answered.status == 302
    assert answered.header("location") == "/accounts/login/?signed-out"
    assert answered.header("clear-site-data") == '"cache", "storage"'
    assert "sessionid" not in browser.cookies
    browser.cookies["sessionid"] = session
    assert (await browser.get(UNITS)).status == 302
    assert await gate.execute("SELECT 1 FROM gateway.session") == []


async def test_somebody_without_a_session_may_sign_out_too(gate: Portal) -> None:
    browser = gate.browser()
    await browser.token()

    assert (await browser.sign_out()).status == 302


@pytest.mark.parametrize(
    ("address", "location"),
    [("/customer/api/repairs/", "/customer/api/repairs/"), ("//evil.test", "/accounts/login/?signed-out"),
     ("/accounts/logout/", "/accounts/login/?signed-out")],
)  # fmt: skip
async def test_signing_out_leads_only_to_us(gate: Portal, address: str, location: str) -> None:
    browser = await gate.signed_in()

    assert (await browser.sign_out(next=address)).header("location") == location


async def test_a_hash_of_djangos_is_renewed_and_other_sessions_live_on(gate: Portal) -> None:
    stored = (
        "pbkdf2_sha256$20000$Zx81kQv0aT3mNc5rYw7LpE$C84/zbHEhHBVQqTgumhy8ako3xVLryDH9C/4uaIzW+M="
    )
    await gate.add_user(stored=stored)
    first, second = gate.browser(), gate.browser()

    assert (await first.sign_in("anna", "correct horse battery staple é")).status == 302
    renewed = (await gate.execute('SELECT password FROM gateway."user"'))[0][0]
    await gate.execute('UPDATE gateway."user" SET password = $1', stored)
    await gate.execute(
        "UPDATE gateway.session SET auth_hash = sha256(convert_to($1::text, 'UTF8'))", stored
    )
    assert (await second.sign_in("anna", "correct horse battery staple é")).status == 302

    assert renewed.startswith("argon2$argon2id$")
    assert (await first.get(UNITS)).status == 200
    assert (await second.get(UNITS)).status == 200


async def test_the_oldest_sessions_beyond_the_bound_end(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_sessions_per_user=3) as gate:
        browsers = [await gate.signed_in(), *[await gate.sign_in() for _ in range(3)]]

        statuses = [(await browser.get(UNITS)).status for browser in browsers]

        assert statuses == [302, 200, 200, 200]


async def test_logins_are_written_down_without_anything_secret(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.browser().sign_in("anna", "wrong horse battery")
    await browser.sign_out()

    await gate.gateway.audit.write_waiting(gate.gateway.pool)

    rows = await gate.execute(
        "SELECT kind, outcome, details::text, session FROM gateway.audit_event "
        "WHERE peer <> 'command line' ORDER BY id"
    )
    assert [tuple(row[:2]) for row in rows] == [
        ("login", "ok"),
        ("login", "failed"),
        ("logout", "ok"),
    ]
    assert "horse" not in str(rows)
    assert "anna" not in str(rows)


async def test_the_store_of_accounts_away_is_a_503_that_says_so(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()
    token = await browser.token()
    await gate.gateway.pool.close()

    answered = await browser.submit(
        "/accounts/login/", {"csrfmiddlewaretoken": token, "username": "anna", "password": PASSWORD}
    )

    assert answered.status == 503
    assert answered.header("retry-after") == "2"
    assert "cannot be reached" in answered.text
