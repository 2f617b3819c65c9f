import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from repair_writer.store.outbox import set_aside


async def test_a_list_is_given_after_a_revision_as_the_bytes_that_are_kept(writer: Any) -> None:
    lines = [
        {"customer_id": 7, "unit_number": "A", "repair_date": "2026-03-01T00:00:00Z",
         "source_ref": str(number)}
        for number in range(620)
    ]  # fmt: skip
    await writer.send_lines(lines)
    whole = await writer.call("GET", "/v1/customers/7/events")
    assert whole.headers["Content-Type"] == "application/x-ndjson"
    assert whole.revision == 621
    kept = await writer.pool.fetch("SELECT payload FROM writer.event ORDER BY revision")
    assert whole.body == b"".join(row["payload"] + b"\n" for row in kept)
    for after, count in ((1, 620), (250, 371), (620, 1), (621, 0), (10_000, 0)):
        events = await writer.events(7, after)
        assert [event["data"]["revision"] for event in events] == list(range(622 - count, 622))


async def test_a_list_of_nobody_and_a_bad_place_are_refused(writer: Any) -> None:
    assert (await writer.call("GET", "/v1/customers/8/events")).code == "customer-unknown"
    for after in ("-1", "x", "1.5", "9223372036854775808", ""):
        answer = await writer.call("GET", f"/v1/customers/7/events?after={after}")
        assert (answer.status, answer.pointers) == (422, ["after"])
    assert (await writer.call("GET", "/v1/customers/7/events?from=1")).status == 400


@pytest.mark.parametrize("leaves", [True, False])
async def test_lists_that_nobody_takes_hold_no_place_for_ever(
    serve: Any, leaves: bool, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not leaves:
        monkeypatch.setattr("repair_writer.api.answers.SILENCE_SECONDS", 8)
    async with serve(lists_open=1) as writer:
        await writer.put_customer(7)
        text = "x" * 4_000
        line = {
            "customer_id": 7, "unit_number": "A", "repair_date": "2026-03-01T00:00:00Z",
            "description": text, "customer_notes": text, "technician_notes": text,
        }  # fmt: skip
        for start in range(0, 1_000, 50):
            lines = [line | {"source_ref": str(start + number)} for number in range(50)]
            assert (await writer.send_lines(lines)).headers["Import-Refused"] == "0"

        async def is_served() -> bool:
            answer = await writer.call("GET", "/v1/customers/7/events?after=1000", patient=False)
            if answer.status == 503:
                assert answer.code == "overloaded"
                assert answer.headers["Retry-After"]
            return bool(answer.status == 200)

        at = urlsplit(writer.url)
        # Small buffers: the response does not fit between the two.
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            reader.connect((at.hostname, at.port))
            reader.sendall(
                b"GET /v1/customers/7/events HTTP/1.1\r\nHost: x\r\n"
                b"Authorization: Bearer " + writer.key.encode() + b"\r\n\r\n"
            )
            begun = await asyncio.to_thread(reader.recv, 12)
            assert begun == b"HTTP/1.1 200"
            assert not await is_served()
            if leaves:
                reader.close()
            await eventually(is_served)


async def test_heads_are_paged_in_the_order_of_ids_and_name_the_last_event(writer: Any) -> None:
    for customer in (30, 4, 2**40):
        await writer.put_customer(customer)
    repair = await writer.recorded(30)
    first = (await writer.call("GET", "/v1/heads?limit=2")).json
    assert [head["customer_id"] for head in first["heads"]] == [4, 7]
    rest = (await writer.call("GET", f"/v1/heads?limit=3&after={first['next_after']}")).json
    assert rest["next_after"] is None
    assert rest["heads"][0] == {
        "customer_id": 30,
        "revision": 2,
        "event_id": repair["event_id"],
        "changed_at": repair["changed_at"],
    }


async def test_heads_since_a_moment_are_those_that_changed_after_it(writer: Any) -> None:
    await writer.put_customer(4)
    moment = (await writer.recorded(4))["changed_at"]
    await writer.recorded(7)
    for since, ids in ((moment, [4, 7]), ("2026-01-01T00:00:00%2B05:00", [4, 7])):
        found = (await writer.call("GET", f"/v1/heads?changed_since={since}")).json
        assert [head["customer_id"] for head in found["heads"]] == ids
    last = (await writer.call("GET", "/v1/heads")).json["heads"][-1]["changed_at"]
    found = (await writer.call("GET", f"/v1/heads?changed_since={last}")).json
    assert [head["customer_id"] for head in found["heads"]] == [7]


async def test_a_bad_question_about_heads_is_refused(writer: Any) -> None:
    for query in (
        "limit=0", "limit=1001", "limit=x", "after=-1", "changed_since=today",
        "changed_since=2026-01-01", "changed_since=2026-01-01T00:00:00",
    ):  # fmt: skip
        answer = await writer.call("GET", f"/v1/heads?{query}")
        assert (answer.status, answer.pointers) == (422, [query.split("=")[0]])


async def test_everything_is_sent_until_now_when_the_outbox_is_empty(writer: Any) -> None:
    repair = await writer.recorded()
    profile, event = await writer.events()
    waiting = (await writer.call("GET", "/v1/progress")).json
    assert waiting == {"sent_until": profile["time"], "outbox_rows": 2, "refused_rows": 0}
    oldest = await writer.pool.fetchval("SELECT min(id) FROM writer.outbox")
    await set_aside(writer.pool, oldest, "too large")
    waiting = (await writer.call("GET", "/v1/progress")).json
    assert waiting == {"sent_until": event["time"], "outbox_rows": 1, "refused_rows": 1}
    await writer.pool.execute("DELETE FROM writer.outbox")
    sent = (await writer.call("GET", "/v1/progress")).json
    assert sent["outbox_rows"] == 0
    assert sent["sent_until"] > repair["changed_at"]


async def test_a_transaction_under_way_holds_back_the_moment(writer: Any) -> None:
    await writer.pool.execute("DELETE FROM writer.outbox")
    async with writer.pool.acquire() as other, other.transaction():
        begun = await other.fetchval("SELECT to_json(now() AT TIME ZONE 'UTC') #>> '{}'")
        await writer.recorded()
        await writer.pool.execute("DELETE FROM writer.outbox")
        progress = (await writer.call("GET", "/v1/progress")).json
        assert progress["sent_until"].rstrip("Z").rstrip("0") == begun.rstrip("0")
    progress = (await writer.call("GET", "/v1/progress")).json
    assert progress["sent_until"].rstrip("Z") > begun
