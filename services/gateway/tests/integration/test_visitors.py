"""Sessions are read for every request: an ended session is rejected; an unreadable one is
unavailable.
"""

import asyncio
import time
from typing import Any

import pytest

from gateway.main import build
from gateway.testing.portal import Portal, portal
from gateway.visitor import StoreAwayError, Visitors, hash_of
from service_runtime.metrics import REGISTRY
from service_runtime.postgres import PoolExhaustedError, connect, create_pool
from service_runtime.testing import eventually

UNITS = "/customer/api/unit-repair-data/"


def readings() -> float:
    return REGISTRY.get_sample_value("gateway_session_lookup_seconds_count") or 0.0


async def ask_again(gate: Portal, change: str) -> int:
    """Return the status of a request that follows a change of the tables."""
    browser = await gate.signed_in()
    assert (await browser.get(UNITS)).status == 200

    await gate.execute(change)

    return (await browser.get(UNITS)).status


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM gateway.session",
        'UPDATE gateway."user" SET is_active = false',
        'DELETE FROM gateway."user"',
        """UPDATE gateway."user" SET password = 'argon2$another'""",
        "UPDATE gateway.session SET expires_at = now() - interval '1 second'",
        "UPDATE gateway.session SET last_seen_at = now() - interval '3 hours'",
    ],
)
async def test_what_ends_a_session_ends_it_at_the_next_request(gate: Portal, change: str) -> None:
    assert await ask_again(gate, change) == 302


async def test_an_ended_session_is_taken_back_from_the_browser(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("DELETE FROM gateway.session")

    answered = await browser.get(UNITS)

    assert answered.all("set-cookie") == [
        'sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax'
    ]


async def test_a_profile_removed_and_made_again_counts_at_once(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("DELETE FROM gateway.customer_user")
    without = await browser.get(UNITS)
    await gate.execute('INSERT INTO gateway.customer_user SELECT id, 43 FROM gateway."user"')

    with_another = await browser.get(UNITS)

    assert (without.status, with_another.status) == (404, 200)


async def test_requests_of_one_moment_are_asked_together(gate: Portal) -> None:
    browsers = [await gate.signed_in(), *[await gate.sign_in() for _ in range(4)]]
    hashes = [hash_of(browser.cookies["sessionid"].encode()) for browser in browsers]
    visitors = gate.gateway.visitors
    before = readings()

    found = await asyncio.gather(*(visitors.find_by_hash(h) for h in hashes for _ in range(20)))

    assert readings() - before <= 2
    assert len(found) == 100
    assert all(visitor is not None and visitor.customer_id == 42 for visitor in found)


async def test_two_users_asked_together_are_never_mixed_up(gate: Portal) -> None:
    anna, berta = await gate.signed_in("anna", 42), await gate.signed_in("berta", 43)
    visitors = gate.gateway.visitors
    ids = [b.cookies["sessionid"].encode() for b in (anna, berta)] + [b"x" * 32]

    for _ in range(20):
        found = await asyncio.gather(*(visitors.find(session) for session in ids * 5))
        assert [v and (v.username, v.customer_id) for v in found] == [
            ("anna", 42), ("berta", 43), None,
        ] * 5  # fmt: skip


async def test_a_waiter_that_gives_up_takes_nobody_with_it(gate: Portal) -> None:
    browser = await gate.signed_in()
    visitors, session = gate.gateway.visitors, browser.cookies["sessionid"].encode()
    leaver = asyncio.ensure_future(visitors.find(session))
    stayer = asyncio.ensure_future(visitors.find(session))
    await asyncio.sleep(0)

    leaver.cancel()

    found = await stayer
    assert found is not None
    assert found.username == "anna"


async def test_no_request_sent_after_the_end_of_a_session_is_let_in(gate: Portal) -> None:
    browser = await gate.signed_in()
    statuses: list[tuple[float, int]] = []
    ended = asyncio.Event()

    async def load() -> None:
        while not (ended.is_set() and time.monotonic() > end_of_session + 0.3):
            sent = time.monotonic()
            statuses.append((sent, (await browser_copy().get(UNITS)).status))

    def browser_copy() -> Any:
        copy = gate.browser()
        copy.cookies = {"sessionid": session}
        return copy

    session = browser.cookies["sessionid"]
    end_of_session = float("inf")
    tasks = [asyncio.create_task(load()) for _ in range(8)]

    async def let_in() -> bool:
        return any(status == 200 for _, status in statuses)

    await eventually(let_in, "one has been let in", every=0.02)
    await gate.execute("DELETE FROM gateway.session")
    end_of_session = time.monotonic()
    ended.set()
    await asyncio.gather(*tasks)

    assert all(status == 302 for sent, status in statuses if sent > end_of_session)
    assert {status for _, status in statuses} == {200, 302}


async def test_use_is_written_down_once_a_minute_and_not_by_polling(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET last_seen_at = now() - interval '10 minutes'")
    age = "SELECT now() - last_seen_at < interval '1 minute' FROM gateway.session"

    await browser.get(UNITS, X_Background="1")
    await gate.gateway.visitors.write_touched(gate.gateway.pool)
    polled = (await gate.execute(age))[0][0]
    await browser.get(UNITS)
    await gate.gateway.visitors.write_touched(gate.gateway.pool)
    used = (await gate.execute(age))[0][0]

    assert (polled, used) == (False, True)


async def test_a_session_that_has_ended_is_not_revived_by_its_last_use(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET last_seen_at = now() - interval '10 minutes'")
    await browser.get(UNITS)
    await gate.execute("DELETE FROM gateway.session")

    await gate.gateway.visitors.write_touched(gate.gateway.pool)

    assert (await browser.get(UNITS)).status == 302


async def test_a_short_idle_time_is_kept(database: Any) -> None:
    async with portal(build, database.gateway_url, gateway_session_idle_seconds=60) as gate:
        browser = await gate.signed_in()
        await gate.execute(
            "UPDATE gateway.session SET last_seen_at = now() - interval '61 seconds'"
        )

        assert (await browser.get(UNITS)).status == 302


async def test_a_slow_store_is_a_503_within_its_time_and_the_cookie_stays(
    gate: Portal, database: Any
) -> None:
    browser = await gate.signed_in()
    blocker = await connect(database.gateway_url, name="tests")
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("LOCK TABLE gateway.session IN ACCESS EXCLUSIVE MODE")
    try:
        answers = await asyncio.gather(*(browser.get(UNITS) for _ in range(5)))
    finally:
        await transaction.rollback()
        await blocker.close()

    assert {answered.status for answered in answers} == {503}
    assert all(answered.header("retry-after") == "2" for answered in answers)
    assert not any(answered.all("set-cookie") for answered in answers)
    assert (await browser.get(UNITS)).status == 200


async def test_a_store_that_is_away_is_never_nobody_and_comes_back(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("ALTER TABLE gateway.session RENAME TO moved")
    away = await browser.get(UNITS)
    dashboard = await browser.get("/customer/dashboard/")
    await gate.execute("ALTER TABLE gateway.moved RENAME TO session")

    back = await browser.get(UNITS)

    assert away.status == 503
    assert away.body == b'{"error": "Service temporarily unavailable"}'
    assert dashboard.status == 503
    assert "cannot be reached" in dashboard.text
    assert back.status == 200


async def test_a_cut_connection_is_opened_again(gate: Portal, database: Any) -> None:
    browser = await gate.signed_in()
    await browser.get(UNITS)
    owner = await connect(database.owner_url, name="tests")
    try:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'gateway-visitors' AND datname = current_database()"
        )
    finally:
        await owner.close()

    statuses = [(await browser.get(UNITS)).status for _ in range(4)]

    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


@pytest.mark.parametrize("stall", [0.3, 0.55, 0.6, 2.0])
async def test_a_process_that_stalls_loses_no_connection(gate: Portal, stall: float) -> None:
    browser = await gate.signed_in()
    visitors, session = gate.gateway.visitors, browser.cookies["sessionid"].encode()
    for _ in range(3):  # one more than there are connections
        lookup = asyncio.ensure_future(visitors.find(session))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, stall)
        await asyncio.gather(lookup, return_exceptions=True)

    assert [(await browser.get(UNITS)).status for _ in range(4)] == [200] * 4


async def test_backends_that_are_cut_off_in_the_midst_of_lookups_cost_no_connection(
    gate: Portal, database: Any
) -> None:
    browser = await gate.signed_in()
    owner = await connect(database.owner_url, name="tests")
    try:
        for _ in range(5):
            asked = [asyncio.ensure_future(browser.get(UNITS)) for _ in range(8)]
            await asyncio.sleep(0)
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'gateway-visitors' AND datname = current_database()"
            )
            assert {answer.status for answer in await asyncio.gather(*asked)} <= {200, 503}
    finally:
        await owner.close()

    async def works() -> bool:
        return (await browser.get(UNITS)).status == 200

    await eventually(works, "lookups work again")
    pool = gate.gateway.visitors._pool
    assert len(pool._idle) == len(pool._all)


async def test_readiness_takes_the_path_of_requests(gate: Portal) -> None:
    visitors = gate.gateway.visitors
    await visitors.check()
    await visitors.check_store()
    visitors._pool._idle.clear()  # all lost
    visitors._lookups._answered_at -= 60

    with pytest.raises(PoolExhaustedError):
        await visitors.check()
    await visitors.check_store()  # so the process is at fault, and not the store


async def test_more_requests_than_can_be_looked_up_are_told_so(gate: Portal) -> None:
    browser = await gate.signed_in()
    gate.gateway.visitors._lookups._most_waiting = 0

    api, page = await browser.get(UNITS), await browser.get("/customer/dashboard/")

    assert (api.status, page.status) == (503, 503)
    assert api.header("retry-after") == page.header("retry-after") == "2"
    assert "too much to do" in page.text


async def test_an_unreachable_store_answers_in_time() -> None:
    visitors = Visitors("postgresql://gateway:x@127.0.0.1:1/rswind", idle_seconds=60)

    with pytest.raises(StoreAwayError):
        await visitors.find(b"x" * 32)

    await visitors.close()


async def test_touches_wait_for_a_store_that_is_away(gate: Portal) -> None:
    browser = await gate.signed_in()
    await gate.execute("UPDATE gateway.session SET last_seen_at = now() - interval '10 minutes'")
    await browser.get(UNITS)
    nowhere = await create_pool("postgresql://gateway:x@127.0.0.1:1/rswind", name="tests", size=1)
    visitors = gate.gateway.visitors

    await visitors.write_touched(nowhere)
    await visitors.write_touched(gate.gateway.pool)

    rows = await gate.execute(
        "SELECT now() - last_seen_at < interval '1 minute' FROM gateway.session"
    )
    assert rows[0][0]
