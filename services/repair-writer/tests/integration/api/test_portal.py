import asyncio
from typing import Any

STAR = {"damage_type": "star break", "description": "Driver side"}
SHOWN = {
    "repair_id", "unit_number", "repair_date", "status", "description", "damage_type", "cost",
    "customer_notes", "requested_by", "batch_id", "revision", "event_id", "created_at",
    "changed_at",
}  # fmt: skip


async def decide(writer: Any, repair: Any, status: str = "APPROVED", **more: Any) -> Any:
    path = f"/customer/api/repairs/{repair['repair_id']}/status/"
    headers = {"If-Match": f'"{repair["event_id"]}"'} | more.pop("headers", {})
    return await writer.portal("POST", path, {"status": status}, headers=headers, **more)


async def request(writer: Any, body: Any, *, key: str | None = "k", **more: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await writer.portal("POST", "/customer/api/repairs/", body, headers=headers, **more)


async def test_a_customer_asks_for_a_repair(writer: Any) -> None:
    body = {"unit_number": " A  1 ", "customer_notes": "Gate 2", "breaks": [STAR]}
    answer = await request(writer, body)
    assert (answer.status, answer.json["batch_id"]) == (201, None)
    (repair,) = answer.json["repairs"]
    assert repair.keys() == SHOWN
    assert (repair["status"], repair["requested_by"], repair["unit_number"]) == (
        "REQUESTED", "customer", "A 1",
    )  # fmt: skip
    assert answer.headers["Location"] == f"/customer/api/repairs/{repair['repair_id']}/"
    event = (await writer.events())[-1]
    assert event["type"].endswith("repair.requested.v1")
    assert (event["data"]["actor"], event["source"]) == ("customer:dana", "portal")


async def test_several_breaks_of_one_visit_are_recorded_together(
    writer: Any, check_lists: Any
) -> None:
    body = {
        "unit_number": "A1",
        "repair_date": "2026-03-01",
        "breaks": [STAR, {"damage_type": "crack"}, {"description": "Wiper arm"}],
    }
    answer = await request(writer, body)
    repairs = answer.json["repairs"]
    assert [one["revision"] for one in repairs] == [2, 3, 4]
    assert answer.revision == 4
    assert {one["batch_id"] for one in repairs} == {answer.json["batch_id"]} != {None}
    assert {one["repair_date"] for one in repairs} == {"2026-03-01T12:00:00Z"}
    assert [one["damage_type"] for one in repairs] == ["star break", "crack", ""]
    assert "Location" not in answer.headers
    await check_lists(writer.pool)


async def test_one_bad_break_leaves_none_of_the_visit(writer: Any) -> None:
    breaks = [STAR, {"damage_type": " ", "description": ""}, {"damage_type": "x" * 101}]
    answer = await request(writer, {"unit_number": " ", "breaks": breaks})
    assert (answer.status, answer.code) == (422, "invalid")
    assert answer.pointers == ["/unit_number", "/breaks/1", "/breaks/2/damage_type"]
    for breaks in ([], [STAR] * 11):
        answer = await request(writer, {"unit_number": "A1", "breaks": breaks})
        assert (answer.status, answer.pointers) == (422, ["/breaks"])
    assert len(await writer.events()) == 1


async def test_the_same_wish_with_the_same_key_is_one_visit(writer: Any, check_lists: Any) -> None:
    body = {"unit_number": "A1", "breaks": [STAR, STAR]}
    first = await request(writer, body, key="form-1")
    again = await request(writer, body, key="form-1")
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await request(writer, {**body, "unit_number": "A2"}, key="form-1")
    assert (other.status, other.code) == (422, "key-reused")
    at_once = await asyncio.gather(*(request(writer, body, key="form-2") for _ in range(8)))
    assert {answer.status for answer in at_once} <= {201, 409}
    assert {answer.code for answer in at_once if answer.status == 409} <= {"key-running"}
    assert len(await writer.events()) == 5
    await check_lists(writer.pool)


async def test_a_wish_without_a_key_is_refused(writer: Any) -> None:
    answer = await request(writer, {"unit_number": "A1", "breaks": [STAR]}, key=None)
    assert (answer.status, answer.code) == (400, "key-required")


async def test_a_customer_cannot_say_more_than_the_list_of_fields(writer: Any) -> None:
    body = {
        "unit_number": "A1", "cost": "1", "status": "COMPLETED", "customer_id": 8,
        "breaks": [{"damage_type": "chip", "cost": "1"}],
    }  # fmt: skip
    answer = await request(writer, body)
    assert (answer.status, set(answer.pointers)) == (
        422, {"/cost", "/status", "/customer_id", "/breaks/0/cost"},
    )  # fmt: skip


async def test_a_customer_decides_what_is_pending_as_it_was_seen(writer: Any) -> None:
    for status in ("APPROVED", "DENIED"):
        repair = await writer.recorded(technician_notes="secret", technician="Dana")
        answer = await decide(writer, repair, status)
        assert (answer.status, answer.json["status"]) == (200, status)
        assert answer.json.keys() == SHOWN
        assert b"secret" not in answer.body


async def test_a_decision_without_or_with_an_older_state_is_refused(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/customer/api/repairs/{repair['repair_id']}/status/"
    for headers in ({}, {"If-Match": "*"}):
        blind = await writer.portal("POST", path, {"status": "APPROVED"}, headers=headers)
        assert (blind.status, blind.code) == (428, "precondition-required")
    await writer.call("PATCH", f"/v1/repairs/{repair['repair_id']}", {"cost": "900"})
    late = await decide(writer, repair)
    assert (late.status, late.code) == (412, "precondition-failed")
    problem = late.json
    assert problem["changed"] == [{"field": "cost", "seen": "240.00", "now": "900.00"}]
    assert problem["changed_by"] == "company"
    assert "the cost was 240.00 and is 900.00 now" in problem["detail"]
    assert problem["repair"].keys() == SHOWN
    again = await decide(writer, problem["repair"])
    assert again.status == 200
    assert problem["etag"] == late.headers["ETag"] == f'"{problem["repair"]["event_id"]}"'


async def test_a_state_that_never_was_is_told_what_is_now(writer: Any) -> None:
    await writer.put_customer(8)
    repair, foreign = await writer.recorded(), await writer.recorded(8, cost="77.00")
    for tag in ("nonsense", "00000000-0000-7000-8000-000000000000", foreign["event_id"]):
        late = await decide(writer, repair, headers={"If-Match": f'"{tag}"'})
        assert (late.status, late.json["changed"]) == (412, [])
        assert "the cost is 240.00 now" in late.json["detail"]
        assert b"77.00" not in late.body


async def test_the_second_of_two_colleagues_is_told_what_the_first_did(writer: Any) -> None:
    repair = await writer.recorded()
    assert (await decide(writer, repair)).status == 200
    for status in ("APPROVED", "DENIED"):
        late = await decide(writer, repair, status)
        assert (late.status, late.code) == (409, "illegal-move")
        assert late.json["detail"].startswith("Your company set this repair to Approved on ")
        assert (late.json["changed_by"], late.json["allowed"]) == ("customer", [])
        assert late.json["repair"]["status"] == "APPROVED"
        assert "dana" not in late.json["detail"]
    path = f"/v1/repairs/{repair['repair_id']}"
    await writer.call("POST", f"{path}/status", {"status": "IN_PROGRESS"})
    late = await decide(writer, repair)
    assert late.json["detail"].startswith("RS Wind set this repair to In progress on ")
    await writer.call("PATCH", path, {"cost": "1.00"})
    late = await decide(writer, repair)
    assert late.json["detail"].startswith("This repair is In progress; RS Wind changed")


async def test_only_what_is_pending_is_a_customers_to_decide(writer: Any) -> None:
    for status in ("REQUESTED", "IN_PROGRESS", "COMPLETED", "DENIED"):
        answer = await decide(writer, await writer.recorded(status=status))
        assert (answer.status, answer.code, answer.json["allowed"]) == (409, "illegal-move", [])
    other = await decide(writer, await writer.recorded(), "COMPLETED")
    assert (other.status, other.pointers) == (422, ["/status"])


async def test_anothers_and_a_removed_repair_are_not_there(writer: Any) -> None:
    await writer.put_customer(8)
    repair = await writer.recorded(8)
    assert (await decide(writer, repair)).code == "repair-unknown"
    gone = await writer.recorded()
    path = f"/v1/repairs/{gone['repair_id']}"
    await writer.call("DELETE", path, {"reason": "x"})
    gone = (await writer.call("GET", path)).json
    answer = await decide(writer, gone)
    assert (answer.status, answer.code) == (404, "repair-unknown")
    assert (await writer.call("GET", f"/v1/repairs/{repair['repair_id']}")).json == repair


async def test_a_customer_changes_how_to_be_reached_but_not_the_name(writer: Any) -> None:
    read = await writer.portal("GET", "/customer/api/profile/")
    assert (read.status, read.json["name"]) == (200, "Lakeshore Freight")
    seen = {"If-Match": read.headers["ETag"]}
    body = {"phone": "+1 608 555 0117", "city": "Baraboo"}
    changed = await writer.portal("PATCH", "/customer/api/profile/", body, headers=seen)
    assert (changed.status, changed.revision) == (200, 2)
    assert (changed.json["phone"], changed.json["name"]) == (body["phone"], "Lakeshore Freight")
    late = await writer.portal("PATCH", "/customer/api/profile/", {"city": "X"}, headers=seen)
    assert (late.status, late.code) == (412, "precondition-failed")
    assert late.json["profile"] == changed.json
    assert late.json["etag"] == late.headers["ETag"] == changed.headers["ETag"]
    name = await writer.portal("PATCH", "/customer/api/profile/", {"name": "Mine"})
    assert (name.status, name.pointers) == (422, ["/name"])


async def test_a_customer_without_a_profile_is_told_so(writer: Any) -> None:
    answer = await writer.portal("GET", "/customer/api/profile/", customer_id=404)
    assert (answer.status, answer.code) == (404, "customer-unknown")
    change = await writer.portal("PATCH", "/customer/api/profile/", {"city": "X"}, customer_id=404)
    assert change.code == "customer-unknown"
    wish = {"unit_number": "A1", "breaks": [STAR]}
    answer = await request(writer, wish, customer_id=404)
    assert answer.code == "customer-unknown"


async def test_only_the_gateways_token_for_the_writer_opens_these_routes(writer: Any) -> None:
    path = "/customer/api/profile/"
    assert (await writer.call("GET", path)).code == "unauthorized"
    assert (await writer.portal("GET", path, audience="query")).code == "unauthorized"
    forged = {"X-Gateway-Token": "eyJhbGciOiJub25lIn0.e30."}
    assert (await writer.portal("GET", path, headers=forged)).status == 401
    repair = await writer.recorded()
    internal = await writer.portal("GET", f"/v1/repairs/{repair['repair_id']}")
    assert (internal.status, internal.code) == (401, "unauthorized")
