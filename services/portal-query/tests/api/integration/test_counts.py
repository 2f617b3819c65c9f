import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal_query.api import live
from portal_query.api.answers import Wanted
from portal_query.api.live import WAITS_A_CUSTOMER, Revisions
from service_runtime.clock import SystemClock

UNITS = "/customer/api/unit-repair-data/"
MONTHS = "/customer/api/repair-cost-data/"
STATUSES = "/customer/api/repair-status-data/"


async def test_the_lists_are_what_json_dumps_writes(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    expected = {
        UNITS: [
            {"unit_number": "A1", "repair_count": 6},
            {"unit_number": "B2", "repair_count": 4},
            {"unit_number": "C é", "repair_count": 2},
        ],
        MONTHS: [{"date": f"2026-0{n}", "count": 4} for n in (1, 2, 3)],
        STATUSES: [
            {"status": status, "count": 2}
            for status in ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")
        ],
    }
    for path, value in expected.items():
        async with api.ask(path) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/json"
            assert await answer.read() == json.dumps(value).encode()


async def test_a_customer_without_events_has_nothing_and_six_zeros(api: Any) -> None:
    async with api.ask(UNITS) as units, api.ask(MONTHS) as months, api.ask(STATUSES) as statuses:
        assert await units.read() == b"[]" == await months.read()
        assert [row["count"] for row in await statuses.json()] == [0] * 6
        assert units.headers["Portal-Revision"] == "0"


async def test_removed_repairs_and_empty_buckets_are_not_listed(
    api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair("A1"), repair("B2", removed=True)])
    await read_model.connection.execute(
        "INSERT INTO portal.repair_count VALUES (1, 0, 'Z9', 0), (1, 1, '2020-01', 0)"
    )
    async with api.ask(UNITS) as units, api.ask(MONTHS) as months:
        assert await units.json() == [{"unit_number": "A1", "repair_count": 1}]
        assert await months.json() == [{"date": "2026-01", "count": 1}]


async def test_any_query_string_is_ignored(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(UNITS) as plain, api.ask(UNITS + "?customer=2&x=%ff&status=NO") as odd:
        assert await plain.read() == await odd.read()


async def test_head_has_the_headers_and_no_body(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(UNITS) as got, api.ask(UNITS, method="HEAD") as head:
        assert head.status == 200
        for name in ("Content-Type", "Content-Length", "ETag", "Portal-Revision"):
            assert head.headers[name] == got.headers[name]
        assert await head.read() == b""


async def test_other_methods_are_405_with_allow_and_nothing_else(api: Any) -> None:
    for path in (UNITS, MONTHS, STATUSES):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with api.ask(path, method=method) as answer:
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET, HEAD"
                assert await answer.read() == b""


async def test_headers_say_what_the_answer_is_and_how_old(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    event = uuid.uuid4()
    await read_model.put(1, a_fleet, revision=12, refold=34, event_id=event)
    moment = SystemClock().now() - timedelta(seconds=9.5)
    await read_model.as_of(1, moment)
    for _ in ("from Postgres", "from Redis"):
        async with api.ask(UNITS) as answer:
            assert answer.headers["ETag"] == f'"1.34.12.{event}"'
            assert answer.headers["Portal-Revision"] == "12"
            assert answer.headers["Portal-Refold"] == "34"
            assert datetime.fromisoformat(answer.headers["Portal-As-Of"]) == moment
            assert 10 <= int(answer.headers["Portal-Lag"]) <= 30
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.headers["Vary"] == "Cookie"
            assert answer.headers["X-Request-Id"]
        await read_model.publish(1)


async def test_a_standing_customer_keeps_its_own_time(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, SystemClock().now())
    await read_model.publish(1)
    stood = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    await read_model.connection.execute(
        "UPDATE portal.customer SET as_of = $1, parked_at = now(), parked_reason = 'x'", stood
    )
    await read_model.publish(1)
    async with api.ask(UNITS) as answer:
        assert datetime.fromisoformat(answer.headers["Portal-As-Of"]) == stood


async def test_an_answer_that_is_known_is_304(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(UNITS) as first:
        tag = first.headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', f'"a",W/{tag}', "*"):
        async with api.ask(UNITS, If_None_Match=known) as answer:
            assert answer.status == 304
            assert await answer.read() == b""
            assert answer.headers["ETag"] == tag
            assert answer.headers["Portal-Revision"] == "12"
    async with api.ask(UNITS, If_None_Match='"other"') as answer:
        assert answer.status == 200


async def test_two_customers_at_the_same_revision_never_share_an_answer(
    api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(1, [repair("mine")], revision=5, refold=9)
    await read_model.put(2, [repair("theirs")], revision=5, refold=9)
    async with api.ask(UNITS, 1) as mine:
        tag = mine.headers["ETag"]
    async with api.ask(UNITS, 2, If_None_Match=tag) as theirs:
        assert theirs.status == 200
        assert [row["unit_number"] for row in await theirs.json()] == ["theirs"]


async def test_without_the_gateways_token_there_is_no_answer(api: Any) -> None:
    paths = (UNITS, "/customer/api/repairs/", "/customer/dashboard/", "/customer/api/events/", "/x")
    for path in paths:
        for token in (None, "nonsense", api.token(1)[:-4] + "AAAA"):
            headers = {} if token is None else {"X_Gateway_Token": token}
            async with api.ask(path, None, **headers) as answer:
                assert answer.status == 401
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert (await answer.json())["code"] == "unauthorized"


async def test_a_request_for_a_later_revision_waits_for_it(
    api: Any, read_model: Any, a_fleet: Any, repair: Any, eventually: Any
) -> None:
    async def watched() -> bool:
        return bool(api.parts.revisions.watchers(1))

    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    waiting = asyncio.ensure_future(_json(api, UNITS, Portal_Min_Revision="13", Portal_Refold="1"))
    await eventually(watched)
    await read_model.put(1, [*a_fleet, repair("new")])
    await read_model.publish(1)
    units = await waiting
    assert {"unit_number": "new", "repair_count": 1} in units


async def test_a_revision_that_only_postgres_has_is_found_without_a_hint(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    await read_model.put(1, [*a_fleet, repair("new")])
    units = await _json(api, UNITS, Portal_Min_Revision="13", Portal_Refold="1")
    assert {"unit_number": "new", "repair_count": 1} in units


async def test_a_revision_that_does_not_come_is_503(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    for path in (UNITS, "/customer/api/repairs/"):
        async with api.ask(path, Portal_Min_Revision="99") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert (await answer.json())["code"] == "revision-not-reached"


async def test_requests_that_wait_leave_room_for_others(
    api: Any,
    read_model: Any,
    a_fleet: Any,
    repair: Any,
    *,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise one customer could hold every connection of the gateway for two seconds at a time."""
    monkeypatch.setattr(live, "WAIT_SECONDS", 30.0)
    for customer_id in (1, 2):
        await read_model.put(customer_id, a_fleet)
    revisions: Revisions = api.parts.revisions

    def wait_of(customer_id: int) -> asyncio.Task[bool]:
        return asyncio.create_task(revisions.reached(customer_id, Wanted(13)))

    mine = [wait_of(1) for _ in range(WAITS_A_CUSTOMER + 3)]

    async def only_some_wait() -> bool:
        return sum(one.done() for one in mine) == 3

    await eventually(only_some_wait)
    assert revisions._waits == {1: WAITS_A_CUSTOMER}
    other = wait_of(2)

    async def the_other_waits() -> bool:
        return revisions._waits[2] == 1

    await eventually(the_other_waits)
    for customer_id in (1, 2):
        await read_model.put(customer_id, [*a_fleet, repair("new")])
        await read_model.publish(customer_id)
    assert await other
    assert sum([await one for one in mine]) == WAITS_A_CUSTOMER
    assert not revisions._waits


async def test_a_higher_refold_is_answered_at_once(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet, refold=8)
    async with api.ask(UNITS, Portal_Min_Revision="9999", Portal_Refold="7") as answer:
        assert answer.status == 200
        assert answer.headers["Portal-Refold"] == "8"


async def test_headers_that_are_no_numbers_are_named(api: Any) -> None:
    for number in ("-1", "1.5", "x", "99999999999999999999", "\u0662".encode().decode("latin-1")):
        async with api.ask(UNITS, Portal_Min_Revision=number) as answer:
            assert answer.status == 400
            assert (await answer.json())["errors"][0]["header"] == "Portal-Min-Revision"
    async with api.ask(UNITS, Portal_Min_Revision="1", Portal_Refold="x") as answer:
        assert (await answer.json())["errors"][0]["header"] == "Portal-Refold"


async def _json(api: Any, path: str, **headers: str) -> Any:
    async with api.ask(path, **headers) as answer:
        assert answer.status == 200
        return await answer.json()
