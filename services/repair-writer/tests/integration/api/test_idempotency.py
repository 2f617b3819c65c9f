import asyncio
from typing import Any

from repair_writer.store.answers import purge_outcomes

REPAIR = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z"}


async def post(writer: Any, key: str, body: Any = None, path: str = "/v1/repairs") -> Any:
    return await writer.call("POST", path, body or REPAIR, idempotency_key=key)


async def test_the_same_request_again_gets_the_same_answer_and_has_one_effect(writer: Any) -> None:
    first = await post(writer, "a")
    again = await post(writer, "a")
    assert (again.status, again.body) == (201, first.body)
    for name in ("ETag", "Location", "Portal-Revision"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(await writer.events()) == 2


async def test_the_answer_stays_what_it_was_after_later_changes(writer: Any) -> None:
    first = await post(writer, "a")
    path = f"/v1/repairs/{first.json['repair_id']}"
    await writer.call("POST", f"{path}/status", {"status": "COMPLETED"})
    await writer.call("DELETE", path, {"reason": "x"})
    assert (await post(writer, "a")).body == first.body


async def test_the_same_key_with_another_body_is_refused(writer: Any) -> None:
    first = await post(writer, "a")
    other = await post(writer, "a", REPAIR | {"unit_number": "B2"})
    assert (other.status, other.code) == (422, "key-reused")
    assert (await post(writer, "a")).body == first.body
    assert len(await writer.events()) == 2


async def test_a_key_belongs_to_a_caller_a_method_and_a_path(writer: Any) -> None:
    first = await post(writer, "a")
    path = f"/v1/repairs/{first.json['repair_id']}"
    status = await post(writer, "a", {"status": "PENDING"}, f"{path}/status")
    assert (status.status, status.revision) == (200, 3)
    other = await writer.make_key("repairs:write")
    answer = await writer.call("POST", "/v1/repairs", REPAIR, key=other, idempotency_key="a")
    assert (answer.status, answer.revision) == (201, 4)


async def test_every_change_takes_a_key(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    for method, where, body in (
        ("PUT", "/v1/customers/7", {"name": "Renamed"}),
        ("PUT", "/v1/customers/8", {"name": "New"}),
        ("PATCH", path, {"cost": "1.00"}),
        ("PATCH", path, {"customer_id": 8}),
        ("POST", f"{path}/status", {"status": "APPROVED"}),
        ("DELETE", path, {"reason": "x"}),
        ("POST", f"{path}/restore", {}),
    ):
        key = f"{method}{where}{sorted(body)}"
        first = await writer.call(method, where, body, idempotency_key=key)
        again = await writer.call(method, where, body, idempotency_key=key)
        assert first.status in {200, 201}, first.body
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert [len(await writer.events(customer)) for customer in (7, 8)] == [5, 5]


async def test_an_answer_that_changed_nothing_is_kept_as_well(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}/status"
    same = {"status": "PENDING"}
    first = await post(writer, "a", same, path)
    await writer.call("POST", path, {"status": "APPROVED"})
    again = await post(writer, "a", same, path)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    profile = {"name": "Lakeshore Freight"}
    for _ in range(2):
        answer = await writer.call("PUT", "/v1/customers/7", profile, idempotency_key="b")
        assert (answer.status, answer.revision) == (200, 3)
    answer = await writer.call("PUT", "/v1/customers/7", profile, idempotency_key="b")
    assert answer.headers["Idempotent-Replayed"] == "true"


async def test_a_refusal_is_not_kept(writer: Any) -> None:
    unknown = REPAIR | {"customer_id": 8}
    assert (await post(writer, "a", unknown)).code == "customer-unknown"
    await writer.put_customer(8)
    assert (await post(writer, "a", unknown)).status == 201


async def test_fifty_at_once_with_one_key_have_one_effect(writer: Any) -> None:
    answers = await asyncio.gather(*(post(writer, "a") for _ in range(50)))
    done = [answer for answer in answers if answer.status == 201]
    running = [answer for answer in answers if answer.status == 409]
    assert len(done) + len(running) == 50
    assert len({answer.body for answer in done}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
    for answer in running:
        assert answer.code == "key-running"
        assert answer.headers["Retry-After"]
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 1
    assert len(await writer.events()) == 2


async def _holds_a_key(writer: Any) -> bool:
    count = await writer.pool.fetchval(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE locktype = 'advisory' AND d.datname = current_database()"
    )
    return bool(count)


async def test_a_key_that_is_running_is_refused_at_once(writer: Any, eventually: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}/status"
    body = {"status": "APPROVED"}
    async with writer.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM writer.customer WHERE customer_id = 7 FOR UPDATE")
        waiting = asyncio.create_task(post(writer, "a", body, path))
        await eventually(lambda: _holds_a_key(writer))
        assert (await post(writer, "a", body, path)).code == "key-running"
    assert (await waiting).status == 200


async def test_what_is_no_key_is_refused(writer: Any) -> None:
    for key in ("", " ", "x" * 256, "a b", "schl\u00fcssel"):
        answer = await post(writer, key)
        assert (answer.status, answer.code) == (400, "malformed"), key


async def test_a_key_may_stand_in_quotes(writer: Any) -> None:
    first = await post(writer, '"a"')
    assert (await post(writer, "a")).body == first.body


async def test_after_seven_days_a_key_is_forgotten(writer: Any) -> None:
    await post(writer, "old")
    await writer.pool.execute(
        "UPDATE writer.idempotency_key SET created_at = created_at - interval '8 days'"
    )
    await post(writer, "new")
    assert await purge_outcomes(writer.pool, 100) == 1
    assert await purge_outcomes(writer.pool, 100) == 0
    assert (await post(writer, "old")).headers.get("Idempotent-Replayed") is None
    assert (await post(writer, "new")).headers["Idempotent-Replayed"] == "true"
