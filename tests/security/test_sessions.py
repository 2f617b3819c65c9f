"""Sessions: the server alone determines their state, from sign-in to the end."""

import asyncio
from typing import Any

import pytest

from gateway.main import build
from gateway.testing.portal import PASSWORD, Portal, portal
from service_runtime.postgres import connect

UNITS = "/customer/api/unit-repair-data/"
LOGIN = f"/accounts/login/?next={UNITS}"


@pytest.mark.parametrize(
    ("cookie", "taken_back"),
    [
        (None, False),
        ("other=1", False),
        ("sessionid=", True),
        ("sessionid=abcdefg", True),
        ("sessionid=" + "a" * 33, True),
        ("sessionid=" + "A" * 32, True),
        ("sessionid=../../etc/passwd", True),
        ("sessionid=\xc3\xa9\xc3\xa9", True),
        ("sessionid=" + "a" * 32, True),
    ],
)
async def test_case_45_what_is_no_session_is_nobody(
    gate: Portal, cookie: str | None, taken_back: bool
) -> None:
    headers = {} if cookie is None else {"Cookie": cookie}

    answered = await gate.browser().get(UNITS, **headers)

    assert answered.status == 302
    assert answered.header("location") == LOGIN
    assert answered.body == b""
    assert answered.header("content-length") == "0"
    assert answered.header("content-type") == "text/html; charset=utf-8"
    assert answered.header("vary") == "Cookie"
    assert bool(answered.all("set-cookie")) is taken_back


async def test_case_46_57_an_id_from_elsewhere_never_becomes_a_session(gate: Portal) -> None:
    await gate.add_user()
    planted = gate.browser()
    planted.cookies["sessionid"] = "attacker" * 4

    answered = await planted.sign_in("anna", PASSWORD)

    assert planted.cookies["sessionid"] != "attacker" * 4
    cookie = next(c for c in answered.all("set-cookie") if c.startswith("sessionid="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    attacker = gate.browser()
    attacker.cookies["sessionid"] = "attacker" * 4
    assert (await attacker.get(UNITS)).status == 302


async def test_case_46_a_live_session_of_somebody_else_ends_when_it_is_planted(
    gate: Portal,
) -> None:
    attacker = await gate.signed_in("attacker", 66)
    await gate.add_user()
    victim = gate.browser()
    victim.cookies["sessionid"] = attacker.cookies["sessionid"]

    await victim.sign_in("anna", PASSWORD)

    assert (await attacker.get(UNITS)).status == 302
    assert (await victim.get(UNITS)).status == 200


async def test_case_47_48_49_each_login_and_logout_changes_the_id(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.add_user("berta", 43)
    ids = [browser.cookies["sessionid"]]
    for name in ("anna", "berta"):
        await browser.sign_in(name, PASSWORD)
        ids.append(browser.cookies["sessionid"])
    await browser.sign_out()

    assert len(set(ids)) == 3
    for session in ids:
        browser.cookies["sessionid"] = session
        assert (await browser.get(UNITS)).status == 302


async def test_case_51_a_deactivated_user_is_out_at_once(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute('UPDATE gateway."user" SET is_active = false')

    assert (await browser.get(UNITS)).status == 302


async def test_case_53_54_time_ends_a_session_and_polling_does_not_keep_it(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET last_seen_at = now() - interval '119 minutes'")
    polled = await browser.get(UNITS, X_Background="1")
    await gate.gateway.visitors.write_touched(gate.gateway.pool)
    await gate.execute(
        "UPDATE gateway.session SET last_seen_at = last_seen_at - interval '2 minutes'"
    )
    idle = await browser.get(UNITS)

    again = await gate.sign_in()
    await gate.execute("UPDATE gateway.session SET expires_at = now()")
    old = await again.get(UNITS)

    assert (polled.status, idle.status, old.status) == (200, 302, 302)


async def test_case_55_a_store_that_is_slow_is_a_503_and_logs_nobody_out(
    gate: Portal, database: Any
) -> None:
    browser = await gate.signed_in()
    blocker = await connect(database.gateway_url, name="tests")
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE gateway.session IN ACCESS EXCLUSIVE MODE")
            answered = await browser.get(UNITS)
    finally:
        await blocker.close()

    assert answered.status == 503
    assert answered.header("retry-after")
    assert answered.all("set-cookie") == []


async def test_case_55_a_limit_store_that_is_away_or_wrong_changes_nothing_else(
    database: Any, redis_url: str
) -> None:
    import redis.asyncio

    for url in ("redis://127.0.0.1:1/0", redis_url):
        async with (
            redis.asyncio.Redis.from_url(redis_url) as client,
            portal(build, database.gateway_url, limits_redis_url=url) as gate,
        ):
            name = "anna" if url == redis_url else "berta"
            browser = await gate.signed_in(name)
            for key in await client.keys("*"):
                await client.delete(key)
                await client.hset(key, "wrong", "type")
            assert (await gate.browser().sign_in(name, PASSWORD)).status == 302
            assert (await browser.get(UNITS)).status == 200


async def test_case_87_logins_at_once_wait_in_a_bounded_queue(gate: Portal) -> None:
    browser = await gate.signed_in()
    tokens = [gate.browser() for _ in range(50)]
    pages = await asyncio.gather(*(one.token() for one in tokens))

    logins = asyncio.gather(
        *(
            one.submit(
                "/accounts/login/",
                {"csrfmiddlewaretoken": token, "username": "anna", "password": PASSWORD},
            )
            for one, token in zip(tokens, pages, strict=True)
        )
    )
    reads = [(await browser.get(UNITS)).status for _ in range(10)]
    answers = await logins

    assert set(reads) == {200}
    assert {answered.status for answered in answers} <= {302, 429, 503}
    assert any(answered.status == 302 for answered in answers)
    for answered in answers:
        assert answered.status == 302 or answered.header("retry-after")
