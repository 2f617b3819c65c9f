from itertools import product
from typing import Any

from multidict import CIMultiDict

NEW = {"customer_id": 7, "unit_number": "A123", "repair_date": "2026-03-01T14:30:00Z"}
NOBODY = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"


async def test_a_recorded_repair_is_answered_whole_with_its_tag_place_and_revision(
    writer: Any,
) -> None:
    answer = await writer.record(
        description="Star break",
        source_ref="1",
        batch_id=NOBODY,
        occurred_at="2026-03-01T10:00:00Z",
    )
    assert answer.status == 201
    repair = answer.json
    assert answer.headers["Location"] == f"/v1/repairs/{repair['repair_id']}"
    assert answer.headers["ETag"] == f'"{repair["event_id"]}"'
    assert answer.revision == repair["revision"] == 2
    assert (repair["source"], repair["cost"], repair["removed"]) == ("dispatch", "240.00", False)
    read = await writer.call("GET", answer.headers["Location"])
    assert (read.status, read.json, read.headers["ETag"]) == (200, repair, answer.headers["ETag"])
    found = await writer.call("GET", "/v1/repairs?source=dispatch&source_ref=1")
    assert found.json == repair


async def test_the_event_tells_who_what_when_and_what_came_before(writer: Any) -> None:
    repair = await writer.recorded(occurred_at="2026-03-01T10:00:00Z", source="app", source_ref="1")
    profile, event = await writer.events()
    data = event["data"]
    assert event["type"] == "com.rswindrepair.repair.recorded.v1"
    assert (event["id"], event["subject"]) == (repair["event_id"], repair["repair_id"])
    assert event["source"] == "dispatch"
    assert event["time"] == repair["changed_at"]
    assert data["previous"] == profile["id"]
    assert (data["actor"], data["reason"]) == ("internal:dispatch", None)
    assert data["occurred_at"] == "2026-03-01T10:00:00Z"
    assert data["repair"] == {name: repair[name] for name in data["repair"]}


async def test_a_trace_is_passed_on_when_it_is_one(writer: Any) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    path, body = "/v1/customers/7", {"name": "Renamed"}
    await writer.call("PUT", path, body, headers={"traceparent": trace})
    await writer.call("PUT", path, {"name": "Again"}, headers={"traceparent": "no trace"})
    events = await writer.events()
    assert [event.get("traceparent") for event in events] == [None, trace, None]


async def test_a_life_of_a_repair_is_a_list_without_gaps(writer: Any) -> None:
    repair = await writer.recorded(status="REQUESTED")
    path = f"/v1/repairs/{repair['repair_id']}"
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/status", {"status": "PENDING"}),
        ("PATCH", "", {"cost": "300.00", "unit_number": "B9", "reason": "second chip"}),
        ("POST", "/status", {"status": "APPROVED", "reason": "by phone"}),
        ("DELETE", "", {"reason": "recorded twice"}),
        ("POST", "/restore", {}),
        ("POST", "/status", {"status": "COMPLETED"}),
    ]
    for number, (method, below, body) in enumerate(steps, start=3):
        answer = await writer.call(method, path + below, body)
        assert (answer.status, answer.revision) == (200, number), answer.body
        assert answer.json == (await writer.call("GET", path)).json
    facts = [event["type"].split(".")[3] for event in await writer.events()]
    assert facts == [
        "profile-changed", "recorded", "status-changed", "corrected", "status-changed", "removed",
        "restored", "status-changed",
    ]  # fmt: skip
    after = (await writer.call("GET", path)).json
    assert (after["status"], after["cost"], after["removed"]) == ("COMPLETED", "300.00", False)
    assert after["created_at"] == repair["created_at"] < after["changed_at"]


async def test_what_holds_already_makes_no_event(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    for method, below, body in (
        ("POST", "/status", {"status": "PENDING"}),
        ("PATCH", "", {"cost": 240, "unit_number": " A123 ", "repair_date": "2026-03-01T15:30:00+01:00"}),
        ("PATCH", "", {}),
        ("POST", "/restore", {}),
    ):  # fmt: skip
        answer = await writer.call(method, path + below, body)
        assert (answer.status, answer.json, answer.revision) == (200, repair, 2)
    assert len(await writer.events()) == 2


async def test_an_illegal_move_is_refused_with_the_legal_ones(writer: Any) -> None:
    repair = await writer.recorded(status="IN_PROGRESS")
    path = f"/v1/repairs/{repair['repair_id']}/status"
    answer = await writer.call("POST", path, {"status": "DENIED"})
    assert (answer.status, answer.code) == (409, "illegal-move")
    assert answer.json["allowed"] == ["APPROVED", "COMPLETED"]
    assert len(await writer.events()) == 2


async def test_a_repair_needs_a_customer_who_is_there(writer: Any) -> None:
    answer = await writer.record(customer_id=404)
    assert (answer.status, answer.code) == (404, "customer-unknown")
    assert "PUT /v1/customers/404" in answer.json["detail"]


async def test_a_reference_is_recorded_once_and_stays_taken_after_a_removal(writer: Any) -> None:
    repair = await writer.recorded(source_ref="1")
    twice = await writer.record(source_ref="1", unit_number="B2")
    assert (twice.status, twice.code) == (409, "already-recorded")
    assert twice.json["repair_id"] == repair["repair_id"]
    path = f"/v1/repairs/{repair['repair_id']}"
    await writer.call("DELETE", path, {"reason": "duplicate"})
    after = await writer.record(source_ref="1")
    assert (after.status, after.code) == (409, "removed")
    assert (await writer.record(source="other", source_ref="1")).status == 201


async def test_a_removed_repair_is_read_but_not_changed(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    removed = await writer.call("DELETE", f"{path}?reason=recorded+twice")
    assert (removed.status, removed.json["removed"]) == (200, True)
    assert (await writer.events())[-1]["data"]["reason"] == "recorded twice"
    assert (await writer.call("GET", path)).json["removed"] is True
    for method, below, body in (
        ("POST", "/status", {"status": "APPROVED"}),
        ("PATCH", "", {"cost": "1"}),
    ):
        answer = await writer.call(method, path + below, body)
        assert (answer.status, answer.code) == (409, "removed")


async def test_a_removal_needs_a_reason(writer: Any) -> None:
    repair = await writer.recorded()
    answer = await writer.call("DELETE", f"/v1/repairs/{repair['repair_id']}")
    assert (answer.status, answer.code, answer.pointers) == (422, "invalid", ["/reason"])


async def test_a_move_is_a_removal_there_and_a_record_here(writer: Any) -> None:
    for other in (3, 9):
        await writer.put_customer(other)
        repair = await writer.recorded(customer_notes="Keys at the gate", source_ref=str(other))
        path = f"/v1/repairs/{repair['repair_id']}"
        body = {"customer_id": other, "reason": "wrong fleet"}
        answer = await writer.call("PATCH", path, body)
        assert (answer.status, answer.revision) == (200, 2), answer.body
        moved = answer.json
        assert (moved["customer_id"], moved["customer_notes"]) == (other, "")
        assert moved["repair_id"] == repair["repair_id"]
        left, here = (await writer.events(7))[-1], (await writer.events(other))[-1]
        assert left["type"].endswith("repair.removed.v1")
        assert (left["data"]["repair"]["removed"], left["data"]["repair"]["customer_id"]) == (
            True,
            7,
        )
        assert str(other) not in left["data"]["reason"]
        assert here["type"].endswith("repair.recorded.v1")
        assert here["id"] == moved["event_id"]
        assert (await writer.call("GET", path)).json == moved


async def test_a_move_to_nobody_leaves_both_lists_alone(writer: Any) -> None:
    repair = await writer.recorded()
    answer = await writer.call("PATCH", f"/v1/repairs/{repair['repair_id']}", {"customer_id": 404})
    assert (answer.status, answer.code) == (404, "customer-unknown")
    assert len(await writer.events()) == 2


async def test_a_change_of_what_was_seen_goes_through_and_of_an_older_state_does_not(
    writer: Any,
) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    seen = {"If-Match": f'"{repair["event_id"]}"'}
    first = await writer.call("PATCH", path, {"cost": "250"}, headers=seen)
    assert first.status == 200
    late = await writer.call("POST", f"{path}/status", {"status": "APPROVED"}, headers=seen)
    assert (late.status, late.code) == (412, "precondition-failed")
    for tags in (f"W/{first.headers['ETag']}", f'"other", {first.headers["ETag"]}', "*"):
        body = {"description": tags}
        answer = await writer.call("PATCH", path, body, headers={"If-Match": tags})
        assert answer.status == (412 if tags[0] == '"' else 200)
        first = answer if answer.status == 200 else first


async def test_if_match_may_hold_empty_elements_and_stand_on_several_lines(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    tag = f'"{repair["event_id"]}"'
    for number, lines in enumerate(
        (["TAG,"], [' , "x" ,, TAG \t'], ['"x"', "TAG"], ["TAG", "", '"y",'])
    ):
        headers = CIMultiDict(("If-Match", line.replace("TAG", tag)) for line in lines)
        headers["Authorization"] = f"Bearer {writer.key}"
        body = {"description": f"{number}"}
        async with writer.http.patch(writer.url + path, json=body, headers=headers) as answer:
            assert answer.status == 200, (lines, await answer.text())
            tag = answer.headers["ETag"]


async def test_white_space_around_header_values_is_no_part_of_them(writer: Any) -> None:
    first = await writer.call("POST", "/v1/repairs", NEW, idempotency_key="k-1")
    spaced = {"Idempotency-Key": " k-1 \t", "Content-Type": "application/json ; charset=utf-8 "}
    again = await writer.call("POST", "/v1/repairs", NEW, headers=spaced)
    assert (first.status, again.status) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_an_if_match_that_is_none_is_refused(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"
    for tags in ("abc", '"', '"a" "b"', "", 'W/"x', '"a",b'):
        answer = await writer.call("PATCH", path, {"cost": "1"}, headers={"If-Match": tags})
        assert (answer.status, answer.code) == (400, "malformed"), tags


async def test_a_repair_that_is_not_there_is_404(writer: Any) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"cost": "1"}),
        ("DELETE", "", {"reason": "x"}),
        ("POST", "/status", {"status": "PENDING"}),
        ("POST", "/restore", {}),
    ]
    names = (NOBODY, "nobody", "00000000-0000-0000-0000-00000000000g", "%00")
    for name, (method, below, body) in product(names, calls):
        answer = await writer.call(method, f"/v1/repairs/{name}{below}", body)
        assert (answer.status, answer.code) == (404, "repair-unknown"), (name, method, below)


async def test_a_bad_search_is_refused(writer: Any) -> None:
    for query, status in (
        ("", 422),
        ("?source=a", 422),
        ("?source=a&source_ref=", 422),
        ("?source=a&source_ref=%00", 422),
        ("?source=a&source_ref=" + "x" * 201, 422),
        ("?source=a&source_ref=1&source=b", 400),
        ("?source=a&source_ref=1&page=2", 400),
        ("?source=a&source_ref=1", 404),
    ):
        answer = await writer.call("GET", f"/v1/repairs{query}")
        assert answer.status == status, query
        assert answer.code


async def test_every_bad_field_of_a_new_repair_is_named(writer: Any) -> None:
    answer = await writer.record(cost=-1, unit_number="\u0000", status="DONE", surprise=1)
    assert (answer.status, answer.code) == (422, "invalid")
    assert set(answer.pointers) == {"/cost", "/unit_number", "/status", "/surprise"}
    assert len(await writer.events()) == 1
