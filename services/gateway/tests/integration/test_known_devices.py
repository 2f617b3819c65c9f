"""Known browsers stay usable while strangers guess passwords."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway import admin_store
from gateway.audit import Audit
from gateway.hashing import QUEUE, THREADS
from gateway.main import build
from gateway.testing.browser import Answered, Browser
from gateway.testing.portal import PASSWORD, Portal, portal
from service_runtime.postgres import connect
from service_runtime.testing import ManualClock

UNITS = "/customer/api/unit-repair-data/"
DEVICE = "portaldevice"


@pytest.fixture
async def behind(database: Any) -> AsyncIterator[Portal]:
    """Return a gateway that trusts the test's X-Forwarded-For, so that a test has many addresses."""
    async with portal(build, database.gateway_url, gateway_trusted_proxies="127.0.0.1") as gate:
        yield gate


def stranger(gate: Portal, number: int) -> Browser:
    return gate.browser(**{"X-Forwarded-For": f"198.51.100.{number}"})


async def guesses(gate: Portal, *names: str, many: int = 12) -> list[int]:
    """Return the statuses of guesses, each from an address of its own."""
    answers = []
    for number in range(many):
        name = names[number % len(names)]
        answers.append(await stranger(gate, number + 1).sign_in(name, "a wrong guess"))
    return [answered.status for answered in answers]


async def test_of_guesses_from_many_addresses_ten_are_checked(behind: Portal) -> None:
    await behind.add_user()

    statuses = await guesses(behind, "anna", many=67)
    right = await stranger(behind, 99).sign_in("anna", PASSWORD)

    assert statuses == [200] * 10 + [429] * 57
    assert right.status == 429
    assert int(right.header("retry-after") or 0) > 3_000
    assert "before" in right.text


async def test_a_known_device_signs_in_whatever_strangers_do(behind: Portal) -> None:
    await behind.add_user()
    owner = behind.browser(**{"X-Forwarded-For": "203.0.113.9"})
    assert (await owner.sign_in("anna", PASSWORD)).status == 302
    await owner.sign_out()
    await guesses(behind, "anna")

    same_place = await behind.browser(**{"X-Forwarded-For": "203.0.113.9"}).sign_in(
        "anna", PASSWORD
    )
    owner.headers["X-Forwarded-For"] = "203.0.113.77"
    owners = await owner.sign_in("anna", PASSWORD)

    assert same_place.status == 429
    assert owners.status == 302
    assert (await owner.get(UNITS)).status == 200


async def test_failures_of_an_address_do_not_shut_out_its_known_devices(behind: Portal) -> None:
    await behind.add_user()
    owner = stranger(behind, 7)
    assert (await owner.sign_in("anna", PASSWORD)).status == 302

    strangers = [
        (await stranger(behind, 7).sign_in(f"name {number}", "a wrong guess")).status
        for number in range(31)
    ]

    assert strangers == [200] * 30 + [429]
    assert (await owner.sign_in("anna", PASSWORD)).status == 302


async def test_a_known_device_has_a_limit_of_its_own(behind: Portal) -> None:
    await behind.add_user()
    thief, owner = stranger(behind, 1), stranger(behind, 2)
    for browser in (thief, owner):
        assert (await browser.sign_in("anna", PASSWORD)).status == 302

    statuses = [(await thief.sign_in("anna", "a wrong guess")).status for _ in range(11)]

    assert statuses == [200] * 10 + [429]
    assert (await thief.sign_in("anna", PASSWORD)).status == 429
    assert (await owner.sign_in("anna", PASSWORD)).status == 302
    assert (await stranger(behind, 3).sign_in("anna", PASSWORD)).status == 302


async def test_a_device_is_known_for_the_account_that_signed_in_with_it(behind: Portal) -> None:
    await behind.add_user()
    await behind.add_user("mallory", 66)
    mallory = stranger(behind, 1)
    assert (await mallory.sign_in("mallory", PASSWORD)).status == 302
    await guesses(behind, "anna")

    assert (await mallory.sign_in("anna", PASSWORD)).status == 429


async def test_a_browser_of_two_people_is_known_for_both(behind: Portal) -> None:
    shared = stranger(behind, 1)
    for name in ("anna", "berta"):
        await behind.add_user(name)
        assert (await shared.sign_in(name, PASSWORD)).status == 302
    await guesses(behind, "anna", "berta", many=24)

    for name in ("anna", "berta", "anna"):
        assert (await shared.sign_in(name, PASSWORD)).status == 302


async def test_names_that_lead_to_one_account_are_counted_together(behind: Portal) -> None:
    await behind.add_user("Anna")

    names = ("Anna", "anna", " ANNA ", "anna@fleet.test", "Anna@Fleet.Test", "\uff21nna")
    statuses = await guesses(behind, *names, many=12)

    assert statuses == [200] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("stra\u00dfe", "strasse"),  # one text for casefold, two for Postgres
        ("\u03bd\u03af\u03ba\u03bf\u03c2", "\u039d\u038a\u039a\u039f\u03a3"),  # a final sigma
        ("istanbul", "\u0130STANBUL"),  # the other way round
        ("\u00e4nna", "\u00c4NNA"),
    ],
)
async def test_two_spellings_count_alike_whether_somebody_has_the_name_or_nobody(
    behind: Portal, name: str, other: str
) -> None:
    waits = {}
    for exists in (False, True):
        if exists:
            await behind.execute("DELETE FROM gateway.device")
            own = behind.gateway.app._parts.login._accounts._limits._own
            own._held.clear()  # type: ignore[attr-defined]
            await behind.add_user(name)
        assert 429 in await guesses(behind, name)
        waits[exists] = (await stranger(behind, 99).sign_in(other, "a wrong guess")).status

    assert waits[True] == waits[False]


async def test_a_name_of_nobody_is_counted_and_answered_like_one_of_somebody(
    behind: Portal,
) -> None:
    await behind.add_user()

    def told(answered: Answered, name: str) -> tuple[int, str | None, str]:
        token = answered.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        text = answered.text.replace(token, "").replace(name, "")
        return answered.status, answered.header("retry-after"), text

    seen: dict[str, list[tuple[int, str | None, str]]] = {"anna": [], "nobody": []}
    for name, answers in seen.items():
        for number in range(12):
            answered = await stranger(behind, number + 1).sign_in(name, "a wrong guess")
            answers.append(told(answered, name))

    assert [status for status, _, _ in seen["anna"]] == [200] * 10 + [429] * 2
    assert seen["anna"][:10] == seen["nobody"][:10]
    assert [text for _, _, text in seen["anna"]] == [text for _, _, text in seen["nobody"]]


async def test_whether_a_name_exists_takes_one_statement_either_way(behind: Portal) -> None:
    await behind.add_user()
    browser = stranger(behind, 1)
    token = await browser.token()
    counted = []
    # The first one prepares the connection and does not count.
    for name in ("first", "anna", "Anna", "anna@fleet.test", "nobody"):
        before = await statements(behind)
        fields = {"csrfmiddlewaretoken": token, "username": name, "password": "a wrong guess"}
        assert (await browser.submit("/accounts/login/", fields)).status == 200
        counted.append(await statements(behind) - before)

    assert counted[1:] == [1] * 4


async def statements(gate: Portal) -> int:
    """Return the number of statements that the pool has run, by the connections' own count."""
    holders = gate.gateway.pool._holders  # type: ignore[attr-defined]
    return sum(holder._con._protocol.queries_count for holder in holders if holder._con)


async def test_guesses_at_once_are_counted_before_they_are_checked(behind: Portal) -> None:
    await behind.add_user()
    browsers = [stranger(behind, number) for number in range(1, 101)]
    tokens = await asyncio.gather(*(browser.token() for browser in browsers))

    answers = await asyncio.gather(
        *(
            browser.submit(
                "/accounts/login/",
                {"csrfmiddlewaretoken": token, "username": "anna", "password": "a wrong guess"},
            )
            for browser, token in zip(browsers, tokens, strict=True)
        )
    )

    statuses = [answered.status for answered in answers]
    assert statuses.count(200) <= 10
    assert set(statuses) <= {200, 429, 503}


async def test_a_flood_of_checks_leaves_room_for_known_devices(
    behind: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await behind.add_user()
    owner = stranger(behind, 1)
    await owner.sign_in("anna", PASSWORD)
    hashes = behind.gateway.app._parts.login._accounts._hashes
    monkeypatch.setattr(hashes._unknown, "_held", THREADS + QUEUE)

    refused = await stranger(behind, 2).sign_in("anna", PASSWORD)
    owners = await owner.sign_in("anna", PASSWORD)

    assert refused.status == 503
    assert refused.header("retry-after") == "2"
    assert "Many people are signing in" in refused.text
    assert owners.status == 302


async def test_the_cookie_is_signed_long_lived_and_out_of_reach_of_scripts(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()

    answered = await browser.sign_in("anna", PASSWORD)
    await browser.sign_out()

    cookie = next(c for c in answered.all("set-cookie") if c.startswith(f"{DEVICE}="))
    assert cookie.endswith("; HttpOnly; Max-Age=34560000; Path=/; SameSite=Lax")
    assert DEVICE in browser.cookies  # signing out leaves the device known
    rows = await gate.execute("SELECT * FROM gateway.device")
    assert len(rows) == 1
    assert browser.cookies[DEVICE].split(".")[1] not in str(rows)


async def test_a_wrong_login_makes_no_device_known(gate: Portal) -> None:
    await gate.add_user()
    browser = gate.browser()

    await browser.sign_in("anna", "a wrong guess")

    assert DEVICE not in browser.cookies
    assert await gate.execute("SELECT 1 FROM gateway.device") == []


async def test_a_device_is_one_row_however_often_it_signs_in(gate: Portal) -> None:
    browser = await gate.signed_in()
    first = browser.cookies[DEVICE]
    for _ in range(3):
        await browser.sign_in("anna", PASSWORD)

    assert browser.cookies[DEVICE] == first
    assert len(await gate.execute("SELECT 1 FROM gateway.device")) == 1


@pytest.mark.parametrize("how", ["passwd", "by hand", "revoked", "old", "forged"])
async def test_a_device_that_is_no_longer_known_is_a_stranger(behind: Portal, how: str) -> None:
    await behind.add_user()
    stored = (await behind.execute('SELECT password FROM gateway."user"'))[0][0]
    owner = stranger(behind, 1)
    await owner.sign_in("anna", PASSWORD)
    await lose(behind, how, stored)
    if how == "forged":
        owner.cookies[DEVICE] = owner.cookies[DEVICE][:-1] + "!"
    await guesses(behind, "anna")

    assert (await owner.sign_in("anna", PASSWORD)).status == 429


async def lose(gate: Portal, how: str, stored: str) -> None:
    """Make the devices unknown; the password stays PASSWORD, in another form."""
    if how == "by hand":  # the same password, stored elsewhere with another salt
        from gateway.passwords import hash_password

        await gate.execute('UPDATE gateway."user" SET password = $1', hash_password(PASSWORD))
        return
    if how == "old":
        await gate.execute("UPDATE gateway.device SET last_used_at = now() - interval '401 days'")
        return
    connection = await connect(gate.database_url, name="tests", connect_seconds=10)
    try:
        if how == "passwd":
            await admin_store.set_password(connection, "anna", stored)
        if how == "revoked":
            assert await admin_store.revoke_devices_of(connection, "anna") == 1
    finally:
        await connection.close()


async def test_a_renewed_hash_leaves_the_device_known(behind: Portal) -> None:
    stored = (
        "pbkdf2_sha256$20000$Zx81kQv0aT3mNc5rYw7LpE$C84/zbHEhHBVQqTgumhy8ako3xVLryDH9C/4uaIzW+M="
    )
    await behind.add_user(stored=stored)
    owner = stranger(behind, 1)
    assert (await owner.sign_in("anna", "correct horse battery staple é")).status == 302
    await guesses(behind, "anna")

    assert (await owner.sign_in("anna", "correct horse battery staple é")).status == 302


async def test_the_least_used_devices_beyond_the_bound_are_unknown_again(
    behind: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.DEVICES_PER_USER", 2)
    await behind.add_user()
    browsers = [stranger(behind, number) for number in range(1, 4)]
    for browser in browsers:
        await browser.sign_in("anna", PASSWORD)
    await guesses(behind, "anna")

    statuses = [(await browser.sign_in("anna", PASSWORD)).status for browser in browsers]

    assert statuses == [429, 302, 302]


async def test_a_check_that_could_not_be_finished_is_not_counted(behind: Portal) -> None:
    await behind.add_user()
    await behind.execute("ALTER TABLE gateway.session RENAME TO gone")
    for number in range(12):
        browser = stranger(behind, number + 1)
        assert (await browser.sign_in("anna", PASSWORD)).status >= 500
    await behind.execute("ALTER TABLE gateway.gone RENAME TO session")

    assert (await stranger(behind, 99).sign_in("anna", PASSWORD)).status == 302


async def test_a_flood_of_strangers_fills_no_table(behind: Portal) -> None:
    await behind.add_user()
    clock = ManualClock()
    audit = Audit(clock)
    for number in range(100):
        audit.note("login", "limited", request_id=str(number), peer="x", by_stranger=True)
    audit.note("login", "ok", request_id="a", peer="x")
    await audit.write_waiting(behind.gateway.pool)
    clock.advance(60)
    await audit.write_waiting(behind.gateway.pool)

    rows = await behind.execute(
        "SELECT kind, outcome, count(*), min(details::text) FROM gateway.audit_event "
        "WHERE peer <> 'command line' GROUP BY kind, outcome ORDER BY kind, outcome"
    )
    assert [tuple(row[:3]) for row in rows] == [
        ("audit", "left-out", 1),
        ("login", "limited", 60),
        ("login", "ok", 1),
    ]
    assert rows[0][3] == '{"events": 40}'
