"""Isolation of customers, and limits of guesses."""

from typing import Any

import pytest

from gateway.main import build
from gateway.testing.browser import exchange, parse
from gateway.testing.portal import KEYS_QUERY, KEYS_WRITER, PASSWORD, Portal, portal
from portal_access.token import QUERY, WRITER, BadTokenError, TokenVerifier
from service_runtime.clock import SystemClock
from service_runtime.testing import ManualClock

UNITS = "/customer/api/unit-repair-data/"
REPAIRS = "/customer/api/repairs/"
HUGE_FORM = (
    "POST /accounts/login/ HTTP/1.1\r\nHost: portal.test\r\nConnection: close\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\n"
)


async def test_case_75_the_customer_comes_from_the_session_alone(gate: Portal) -> None:
    browser = await gate.signed_in(customer_id=42)
    verifiers = {
        QUERY: TokenVerifier(KEYS_QUERY, QUERY),
        WRITER: TokenVerifier(KEYS_WRITER, WRITER),
    }

    await browser.get(f"{REPAIRS}?customer=8&customer_id=8&cid=8", cid="8", Customer="8")
    await browser.ask(
        "POST", REPAIRS, body=b'{"customer_id": 8}', X_CSRFToken=browser.cookies["csrftoken"]
    )

    for service, audience in ((gate.query, QUERY), (gate.writer, WRITER)):
        token = service.received[-1].header("x-gateway-token") or ""
        assert verifiers[audience].verify(token, SystemClock().now()).customer_id == 42
        assert service.received[-1].header("cid") is None


async def test_case_76_77_a_profile_counts_from_the_next_request(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("DELETE FROM gateway.customer_user")

    without = await browser.get(UNITS)
    await gate.execute('INSERT INTO gateway.customer_user SELECT id, 42 FROM gateway."user"')
    again = await browser.get(UNITS)

    assert without.status == 404
    assert without.body == b'{"error": "Customer profile not found"}'
    assert len(without.body) == 39
    assert without.header("content-type") == "application/json"
    assert again.status == 200


async def test_case_78_a_key_of_the_writers_is_nothing_here(gate: Portal) -> None:
    key = "rsw_live_abcd1234_" + "k" * 43

    answered = await gate.browser().get(f"{UNITS}?api_key={key}", Authorization=f"Bearer {key}")
    own_api = await gate.browser().ask(
        "POST", "/v1/repairs", body=b"{}", Authorization=f"Bearer {key}"
    )

    assert (answered.status, own_api.status) == (302, 404)
    assert gate.writer.received == []


async def test_case_80_a_token_is_for_one_service_and_half_a_minute(gate: Portal) -> None:
    browser = await gate.signed_in()
    await browser.get(UNITS)
    token = gate.query.received[-1].header("x-gateway-token") or ""
    clock = ManualClock(SystemClock().now())

    assert TokenVerifier(KEYS_QUERY, QUERY).verify(token, clock.now()).username == "anna"
    for keys, audience in ((KEYS_WRITER, WRITER), (KEYS_QUERY, WRITER)):
        with pytest.raises(BadTokenError):
            TokenVerifier(keys, audience).verify(token, clock.now())
    clock.advance(36)
    with pytest.raises(BadTokenError):
        TokenVerifier(KEYS_QUERY, QUERY).verify(token, clock.now())


async def test_case_83_no_answer_tells_which_names_exist(gate: Portal) -> None:
    await gate.add_user()
    await gate.add_user("gone")
    await gate.add_user("unusable", stored="!" + "x" * 40)
    await gate.execute("""UPDATE gateway."user" SET is_active = false WHERE username = 'gone'""")
    pages = set()

    for name in ("nobody", "anna", "gone", "unusable"):
        browser = gate.browser()
        password = "wrong horse battery" if name == "anna" else PASSWORD
        answered = await browser.sign_in(name, password)
        token = answered.text.partition('csrfmiddlewaretoken" value="')[2].partition('"')[0]
        pages.add((answered.status, answered.text.replace(token, "").replace(name, "")))

    assert len(pages) == 1


async def test_case_84_85_86_guesses_end_for_an_address_and_never_for_the_owner(
    database: Any, redis_url: str
) -> None:
    async with portal(
        build,
        database.gateway_url,
        limits_redis_url=redis_url,
        gateway_trusted_proxies="127.0.0.1",
    ) as gate:
        await gate.add_user("Alice")
        attacker = gate.browser(**{"X-Forwarded-For": "198.51.100.7"})
        for name in ("Alice", " alice ", "ALICE", "alice@fleet.test", "Alice"):
            assert (await attacker.sign_in(name, "a wrong guess")).status == 200

        sixth = await attacker.sign_in("Alice", "a wrong guess")
        right = await attacker.sign_in("Alice", PASSWORD)
        owner = await gate.browser(**{"X-Forwarded-For": "203.0.113.9"}).sign_in("Alice", PASSWORD)

        assert (sixth.status, right.status) == (429, 429)
        assert sixth.header("retry-after")
        assert right.header("retry-after")
        assert owner.status == 302


async def test_case_120_121_ten_guesses_from_everywhere_and_the_owner_comes_in(
    database: Any, redis_url: str
) -> None:
    async with portal(
        build,
        database.gateway_url,
        limits_redis_url=redis_url,
        gateway_trusted_proxies="127.0.0.1",
    ) as gate:
        await gate.add_user("alice")
        owner = gate.browser(**{"X-Forwarded-For": "203.0.113.9"})
        assert (await owner.sign_in("alice", PASSWORD)).status == 302
        for number in range(31):  # of the owner's own address
            near = gate.browser(**{"X-Forwarded-For": "203.0.113.9"})
            await near.sign_in(f"nobody {number}", "a wrong guess")
        guesses = []
        for number in range(67):
            attacker = gate.browser(**{"X-Forwarded-For": f"198.51.100.{number}"})
            guesses.append((await attacker.sign_in("alice", "a wrong guess")).status)

        unknown = gate.browser(**{"X-Forwarded-For": "192.0.2.1"})
        right = await unknown.sign_in("alice", PASSWORD)
        owners = await owner.sign_in("alice", PASSWORD)

    assert guesses == [200] * 10 + [429] * 57
    assert (right.status, owners.status) == (429, 302)
    assert int(right.header("retry-after") or 0) > 3_000


async def test_case_88_a_form_that_cannot_be_right_costs_no_hash(gate: Portal) -> None:
    browser = gate.browser()
    huge = parse(await exchange(gate.url, HUGE_FORM.encode()))
    nul = await browser.sign_in("an\0na", "x")
    long = await browser.sign_in("a" * 300, "x")
    await gate.gateway.audit.write_waiting(gate.gateway.pool)

    assert (huge.status, nul.status, long.status) == (413, 200, 200)
    assert 'role="alert"' in nul.text
    assert await gate.execute("SELECT 1 FROM gateway.audit_event") == []


async def test_case_89_a_burst_over_the_limit_is_told_when_to_come_again(
    database: Any, redis_url: str
) -> None:
    async with portal(
        build, database.gateway_url, limits_redis_url=redis_url, gateway_session_rate=5
    ) as gate:
        browser = await gate.signed_in()
        answers = [await browser.get(UNITS) for _ in range(7)]

    assert [answered.status for answered in answers].count(200) == 5
    assert answers[-1].status == 429
    assert answers[-1].body == b'{"error": "Too many requests"}'
    assert answers[-1].header("retry-after")
    assert (answers[-1].header("ratelimit") or "").startswith('"session";r=0;t=')
