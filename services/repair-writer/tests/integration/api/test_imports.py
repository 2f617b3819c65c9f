import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

HEADERS = {"Content-Type": "application/x-ndjson"}


def line(number: int, customer_id: int = 7, **fields: Any) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "unit_number": f"U{number % 10}",
        "repair_date": "2026-03-01T14:30:00Z",
        "status": "COMPLETED",
        "source_ref": str(number),
        **fields,
    }


async def test_lines_are_recorded_in_their_order_with_a_result_each(
    writer: Any, check_lists: Any
) -> None:
    await writer.put_customer(8)
    lines = [line(number, 7 + number % 2) for number in range(1_203)]
    answer = await writer.send_lines(lines)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert (answer.headers["Import-Lines"], answer.headers["Import-Refused"]) == ("1203", "0")
    results = answer.lines
    assert [result["line"] for result in results] == list(range(1, 1_204))
    assert {result["outcome"] for result in results} == {"recorded"}
    assert results[0].keys() == {"line", "outcome", "repair_id", "customer_id", "revision"}
    assert results[-1]["revision"] == 603
    await check_lists(writer.pool)
    found = await writer.call("GET", "/v1/repairs?source=dispatch&source_ref=77")
    assert found.json["repair_id"] == results[77]["repair_id"]
    assert (found.json["status"], found.json["cost"]) == ("COMPLETED", "0.00")


async def test_the_same_lines_again_change_nothing(writer: Any) -> None:
    lines = [line(number) for number in range(700)]
    first = (await writer.send_lines(lines)).lines
    again = (await writer.send_lines(lines)).lines
    assert {result["outcome"] for result in again} == {"unchanged"}
    assert [result["repair_id"] for result in again] == [result["repair_id"] for result in first]
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.event") == 701


async def test_a_bad_line_harms_no_other(writer: Any, check_lists: Any) -> None:
    lines: list[Any] = [line(number) for number in range(1_000)]
    lines[500] = b'{"customer_id":7,'
    lines[501] = line(501, cost="-1", unit_number="\u0000", surprise=True)
    lines[502] = line(502, customer_id=404)
    lines[503] = b'{"unit_number":"' + b"x" * 300_000 + b'"}'
    lines[504] = b"\xff\xfe"
    lines[505] = [1, 2]
    lines[506] = line(506, source_ref=None)
    answer = await writer.send_lines(lines)
    assert answer.headers["Import-Refused"] == "7"
    results = answer.lines
    assert len(results) == 1_000
    refused = {result["line"]: result for result in results if result["outcome"] == "refused"}
    assert {number: result["code"] for number, result in refused.items()} == {
        501: "malformed",
        502: "invalid",
        503: "customer-unknown",
        504: "line-too-long",
        505: "malformed",
        506: "invalid",
        507: "invalid",
    }
    pointers = {error["pointer"] for error in refused[502]["errors"]}
    assert pointers == {"/cost", "/unit_number", "/surprise"}
    assert not any("repair_id" in result for result in refused.values())
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 993
    await check_lists(writer.pool)


NEW = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-02-01T00:00:00Z"}


async def test_a_line_with_a_key_twice_is_malformed(writer: Any) -> None:
    twice = json.dumps(NEW).replace('"unit_number"', '"unit_number": "A2", "unit_number"').encode()
    answer = await writer.send_lines([twice])
    (result,) = answer.lines
    assert (result["outcome"], result["code"]) == ("refused", "malformed")
    assert "unit_number" in result["detail"]


async def test_a_line_corrects_any_status_and_keeps_what_it_does_not_name(writer: Any) -> None:
    repair = await writer.recorded(source_ref="1", status="COMPLETED", technician_notes="ours")
    result = (await writer.send_lines([line(1, status="REQUESTED", unit_number="B2")])).lines[0]
    assert (result["outcome"], result["repair_id"]) == ("corrected", repair["repair_id"])
    after = (await writer.call("GET", f"/v1/repairs/{repair['repair_id']}")).json
    assert (after["status"], after["unit_number"]) == ("REQUESTED", "B2")
    assert (after["technician_notes"], after["cost"]) == ("ours", "240.00")
    last = (await writer.events())[-1]
    assert last["type"].endswith("repair.corrected.v1")
    assert last["data"]["reason"] == "import"


async def test_a_later_line_of_a_reference_sees_the_earlier(writer: Any, check_lists: Any) -> None:
    lines = [line(1, status=status) for status in ("REQUESTED", "PENDING", "PENDING", "DENIED")]
    results = (await writer.send_lines(lines)).lines
    outcomes = [result["outcome"] for result in results]
    assert outcomes == ["recorded", "corrected", "unchanged", "corrected"]
    assert [result["revision"] for result in results] == [2, 3, 3, 4]
    assert len({result["repair_id"] for result in results}) == 1
    await check_lists(writer.pool)


async def test_a_line_moves_a_repair_of_another_customer(writer: Any, check_lists: Any) -> None:
    await writer.put_customer(3)
    repair = await writer.recorded(source_ref="1", customer_notes="Gate 2")
    result = (await writer.send_lines([line(1, customer_id=3)])).lines[0]
    assert (result["outcome"], result["customer_id"], result["revision"]) == ("moved", 3, 2)
    moved = (await writer.call("GET", f"/v1/repairs/{repair['repair_id']}")).json
    assert (moved["customer_id"], moved["customer_notes"]) == (3, "")
    assert (await writer.events(7))[-1]["type"].endswith("repair.removed.v1")
    await check_lists(writer.pool)


async def test_an_import_never_brings_back_what_was_removed(writer: Any) -> None:
    repair = await writer.recorded(source_ref="1")
    await writer.call("DELETE", f"/v1/repairs/{repair['repair_id']}", {"reason": "x"})
    result = (await writer.send_lines([line(1)])).lines[0]
    assert (result["outcome"], result["code"]) == ("refused", "removed")


async def test_a_trial_says_what_would_happen_and_does_nothing(writer: Any) -> None:
    await writer.recorded(source_ref="1")
    before = await writer.events()
    lines = [line(1), line(2), b"{", line(3, customer_id=404)]
    answer = await writer.send_lines(lines, "?dry_run=true")
    outcomes = [result["outcome"] for result in answer.lines]
    assert outcomes == ["corrected", "recorded", "refused", "refused"]
    assert not any("revision" in result for result in answer.lines)
    assert await writer.events() == before
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 1


async def test_borders_of_pieces_and_blank_lines_do_not_matter(writer: Any) -> None:
    text = "\n".join(["", json.dumps(line(1)), "  ", json.dumps(line(2)) + "\r", ""]).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(text), 7):
            yield text[place : place + 7]

    headers = {"Content-Type": "application/x-ndjson"}
    answer = await writer.call("POST", "/v1/repairs/import", data=pieces(), headers=headers)
    assert [(result["line"], result["outcome"]) for result in answer.lines] == [
        (2, "recorded"),
        (4, "recorded"),
    ]


async def test_an_empty_import_has_no_results(writer: Any) -> None:
    answer = await writer.send_lines([])
    assert (answer.status, answer.body, answer.headers["Import-Lines"]) == (200, b"", "0")


async def test_a_client_that_goes_away_leaves_whole_lines_and_a_working_server(
    writer: Any, check_lists: Any
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for number in range(1_800):
            yield json.dumps(line(number)).encode() + b"\n"
        raise ConnectionAbortedError

    headers = {"Content-Type": "application/x-ndjson"}
    with pytest.raises((ConnectionAbortedError, aiohttp.ClientError)):
        await writer.call("POST", "/v1/repairs/import", data=broken(), headers=headers)
    await check_lists(writer.pool)
    results = (await writer.send_lines([line(number) for number in range(1_800)])).lines
    assert {result["outcome"] for result in results} <= {"recorded", "unchanged"}
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 1_800
    await check_lists(writer.pool)


async def test_imports_of_the_same_lines_and_commands_at_once_agree(
    writer: Any, check_lists: Any
) -> None:
    await writer.put_customer(8)
    lines = [line(number, 7 + number % 2) for number in range(600)]
    answers = await asyncio.gather(
        writer.send_lines(lines),
        writer.send_lines(lines[::-1]),
        *(writer.record(7 + n % 2, source_ref=str(n * 20)) for n in range(30)),
    )
    for answer in answers[:2]:
        assert {result["outcome"] for result in answer.lines} <= {
            "recorded", "corrected", "unchanged", "moved",
        }  # fmt: skip
    assert {answer.status for answer in answers[2:]} <= {201, 409}
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 600
    await check_lists(writer.pool)


async def stalled(gate: asyncio.Event, number: int) -> AsyncIterator[bytes]:
    """Yield a body of one line, and the rest after the gate opens."""
    yield json.dumps(line(number)).encode() + b"\n"
    await gate.wait()


def uploads(writer: Any, gate: asyncio.Event, count: int, **more: Any) -> list[asyncio.Task[Any]]:
    return [
        asyncio.create_task(
            writer.call(
                "POST", "/v1/repairs/import", data=stalled(gate, n), headers=HEADERS, **more
            )
        )
        for n in range(count)
    ]


async def test_uploads_that_wait_for_bytes_hold_no_slot(serve: Any) -> None:
    gate = asyncio.Event()
    async with serve(imports_at_once=1) as writer:
        await writer.put_customer(7)
        waiting = uploads(writer, gate, 4)
        lines = [line(number) for number in range(100, 1_300)]
        answer = await asyncio.wait_for(writer.send_lines(lines), 60)
        assert answer.headers["Import-Refused"] == "0"
        assert not any(one.done() for one in waiting)
        gate.set()
        assert [one.status for one in await asyncio.gather(*waiting)] == [200] * 4


async def test_imports_beyond_the_limit_are_told_to_come_back(serve: Any, eventually: Any) -> None:
    gate = asyncio.Event()
    async with serve(imports_open=4) as writer:
        await writer.put_customer(7)
        other = await writer.make_key("repairs:write", client="other")

        async def is_full(**more: Any) -> bool:
            answer = await writer.send_lines([], patient=False, **more)
            if answer.status == 200:
                return False
            assert (answer.status, answer.code) == (503, "overloaded")
            assert answer.headers["Retry-After"]
            return "imports" in answer.json["detail"]

        waiting = uploads(writer, gate, 2)
        await eventually(is_full)  # of this client
        assert (await writer.send_lines([], key=other, patient=False)).status == 200
        waiting += uploads(writer, gate, 2, key=other)
        third = await writer.make_key("repairs:write", client="third")
        await eventually(lambda: is_full(key=third))  # of all
        gate.set()
        await asyncio.gather(*waiting)
        assert [one.result().status for one in waiting] == [200] * 4
        assert (await writer.send_lines([])).status == 200


async def test_a_flood_of_bad_lines_gets_a_bounded_answer(writer: Any) -> None:
    body = b"{}\n" * 65_000
    answer = await writer.call("POST", "/v1/repairs/import", data=body, headers=HEADERS)
    assert answer.status == 200
    assert answer.headers["Import-Refused"] == answer.headers["Import-Lines"] == "65000"
    *told, rest = answer.lines
    assert [one["line"] for one in told] == list(range(1, 1_001))
    assert rest == {
        "outcome": "refused", "code": "invalid", "count": 64_000,
        "ranges": [[1_001, 65_000]], "unlisted": 0,
    }  # fmt: skip
    assert len(answer.body) < 2 * 1024**2


async def test_refused_lines_are_counted_by_reason_with_bounded_ranges(writer: Any) -> None:
    lines: list[Any] = [b"{"] * 1_000
    for number in range(1_200):
        lines += [b"{", line(number, customer_id=404), line(number)]
    answer = await writer.send_lines(lines)
    *told, malformed, unknown = answer.lines
    assert len(told) == 1_000 + 1_200
    assert sum(one["outcome"] == "recorded" for one in told) == 1_200
    assert (malformed["code"], unknown["code"]) == ("malformed", "customer-unknown")
    assert (malformed["count"], unknown["count"]) == (1_200, 1_200)
    assert malformed["ranges"][0] == [1_001, 1_001]
    assert unknown["ranges"][0] == [1_002, 1_002]
    ranges = len(malformed["ranges"]) + len(unknown["ranges"])
    assert ranges == 1_000
    assert malformed["unlisted"] + unknown["unlisted"] == 2_400 - ranges


async def test_long_refusals_are_bounded_by_their_size(writer: Any) -> None:
    bad = {f"{number:02d}": 1 for number in range(100)}
    answer = await writer.send_lines([bad] * 500)
    assert answer.headers["Import-Refused"] == "500"
    assert len(answer.body) < 1.2 * 1024**2
    assert answer.lines[-1]["count"] == 500 - (len(answer.lines) - 1) > 0


async def test_results_beyond_the_room_are_refused_and_the_room_is_given_back(
    serve: Any,
) -> None:
    async with serve(import_spool_bytes=100_000) as writer:
        await writer.put_customer(7)
        lines = [line(number) for number in range(2_000)]
        for _ in range(2):
            answer = await writer.send_lines(lines, patient=False)
            assert (answer.status, answer.code) == (503, "overloaded")
            assert "may have been saved" in answer.json["detail"]
        for _ in range(4):
            assert (await writer.send_lines(lines[:500])).status == 200


def packed(lines: list[Any]) -> bytes:
    return gzip.compress(b"\n".join(json.dumps(one).encode() for one in lines))


async def send_packed(writer: Any, data: Any, coding: str = "gzip") -> Any:
    headers = HEADERS | {"Content-Encoding": coding}
    return await writer.call("POST", "/v1/repairs/import", data=data, headers=headers)


async def test_a_packed_import_is_read(writer: Any) -> None:
    lines = [line(number) for number in range(600)]
    for coding in ("gzip", "x-gzip", "GZIP", "identity"):
        data = packed(lines) if coding != "identity" else gzip.decompress(packed(lines))
        answer = await send_packed(writer, data, coding)
        assert (answer.status, answer.headers["Import-Refused"]) == (200, "0"), coding
    two = packed(lines[:2]) + gzip.compress(b"\n") + packed(lines[2:4])
    answer = await send_packed(writer, two)
    assert [one["outcome"] for one in answer.lines] == ["unchanged"] * 4

    async def bytewise() -> AsyncIterator[bytes]:
        for byte in packed(lines[:3]):
            yield bytes([byte])

    assert len((await send_packed(writer, bytewise())).lines) == 3
    assert (await send_packed(writer, b"")).body == b""


async def test_another_encoding_is_415_and_says_what_is_read(writer: Any) -> None:
    for coding in ("br", "deflate", "gzip, gzip", "identity, zstd"):
        answer = await send_packed(writer, b"x", coding)
        assert (answer.status, answer.code) == (415, "media-type"), coding
        assert answer.headers["Accept-Encoding"] == "gzip, identity"
    repair = await writer.recorded()
    one = f"/v1/repairs/{repair['repair_id']}"
    for method, path in (
        ("POST", "/v1/repairs"), ("PATCH", one), ("DELETE", one), ("POST", f"{one}/status"),
        ("POST", f"{one}/restore"), ("PUT", "/v1/customers/7"),
    ):  # fmt: skip
        for coding in ("gzip", "br"):
            answer = await writer.call(
                method, path, {"reason": "x"}, headers={"Content-Encoding": coding}
            )
            assert (answer.status, answer.code) == (415, "media-type"), path
            assert answer.headers["Accept-Encoding"] == "identity"
    for method, path in (
        ("POST", "/customer/api/repairs/"), ("POST", "/customer/api/repairs/status/"),
        ("POST", f"/customer/api/repairs/{repair['repair_id']}/status/"),
        ("PATCH", "/customer/api/profile/"),
    ):  # fmt: skip
        answer = await writer.portal(method, path, {}, headers={"Content-Encoding": "gzip"})
        assert (answer.status, answer.code) == (415, "media-type"), path


async def test_what_is_no_gzip_stream_or_half_of_one_is_malformed(writer: Any) -> None:
    whole = packed([line(1)])
    for data in (b"{}", whole[:-4], whole[:5], whole + b"{}", whole[:20] + b"\0" * 20):
        answer = await send_packed(writer, data)
        assert (answer.status, answer.code) == (400, "malformed"), data


async def test_a_bomb_is_given_up_soon(writer: Any) -> None:
    bomb = gzip.compress(b"\n" * (64 * 1024**2))
    assert len(bomb) < 100_000
    answer = await send_packed(writer, bomb)
    assert (answer.status, answer.code) == (413, "too-large")
    assert "200 times" in answer.json["detail"]


async def test_the_limit_holds_for_what_is_sent_and_what_it_unpacks_to(serve: Any) -> None:
    async with serve(import_max_bytes=50_000) as writer:
        await writer.put_customer(7)
        lines = [line(number) for number in range(500)]
        for answer in (await writer.send_lines(lines), await send_packed(writer, packed(lines))):
            assert (answer.status, answer.code) == (413, "too-large")


async def test_what_is_no_import_is_refused(writer: Any) -> None:
    wrong = await writer.call(
        "POST", "/v1/repairs/import", data=b"{}", headers={"Content-Type": "application/json"}
    )
    assert (wrong.status, wrong.code) == (415, "media-type")
    for query in ("?dry_run=yes", "?dry_run=1"):
        assert (await writer.send_lines([], query)).code == "invalid"
    assert (await writer.send_lines([], "?dryrun=true")).code == "malformed"
    key = await writer.make_key("repairs:read")
    assert (await writer.send_lines([], key=key)).code == "scope"
