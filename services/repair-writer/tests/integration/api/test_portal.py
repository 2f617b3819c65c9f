from typing import Any

SHOWN = {
    "repair_id", "unit_number", "repair_date", "status", "description", "damage_type", "cost",
    "customer_notes", "requested_by", "batch_id", "revision", "event_id", "created_at",
    "changed_at",
}  # fmt: skip


async def decide(writer: Any, repair: Any, status: str = "APPROVED", **more: Any) -> Any:
    path = f"/customer/api/repairs/{repair['repair_id']}/status/"
    headers = {"If-Match": f'"{repair["event_id"]}"'} | more.pop("headers", {})
    return await writer.portal("POST", path, {"status": status}, headers=headers, **more)


async def test_a_customer_asks_for_a_repair(writer: Any) -> None:
    body = {"unit_number": " A  1 ", "description": "Star", "customer_notes": "Gate 2"}
    answer = await writer.portal("POST", "/customer/api/repairs/", body)
    assert answer.status == 201
    repair = answer.json
    assert repair.keys() == SHOWN
    assert (repair["status"], repair["requested_by"], repair["unit_number"]) == (
        "REQUESTED", "customer", "A 1",
    )  # fmt: skip
    assert answer.headers["Location"] == f"/customer/api/repairs/{repair['repair_id']}/"
    event = (await writer.events())[-1]
    assert event["type"].endswith("repair.requested.v1")
    assert (event["data"]["actor"], event["source"]) == ("customer:dana", "portal")


async def test_the_same_wish_with_the_same_key_is_one_repair(writer: Any) -> None:
    body, headers = {"unit_number": "A1"}, {"Idempotency-Key": "form-1"}
    first = await writer.portal("POST", "/customer/api/repairs/", body, headers=headers)
    again = await writer.portal("POST", "/customer/api/repairs/", body, headers=headers)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_customer_cannot_say_more_than_the_list_of_fields(writer: Any) -> None:
    body = {"unit_number": "A1", "cost": "1", "status": "COMPLETED", "customer_id": 8}
    answer = await writer.portal("POST", "/customer/api/repairs/", body)
    assert (answer.status, set(answer.pointers)) == (422, {"/cost", "/status", "/customer_id"})


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
    name = await writer.portal("PATCH", "/customer/api/profile/", {"name": "Mine"})
    assert (name.status, name.pointers) == (422, ["/name"])


async def test_a_customer_without_a_profile_is_told_so(writer: Any) -> None:
    answer = await writer.portal("GET", "/customer/api/profile/", customer_id=404)
    assert (answer.status, answer.code) == (404, "customer-unknown")
    change = await writer.portal("PATCH", "/customer/api/profile/", {"city": "X"}, customer_id=404)
    assert change.code == "customer-unknown"
    wish = {"unit_number": "A1"}
    answer = await writer.portal("POST", "/customer/api/repairs/", wish, customer_id=404)
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
