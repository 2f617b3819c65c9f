from itertools import product
from typing import Any

PROFILE = {
    "name": "Lakeshore Freight",
    "email": "fleet@lakeshore.example",
    "phone": "+1 608 555 0117",
    "address": "400 Dock Street\nSuite 2",
    "city": "Baraboo",
    "state": "WI",
    "postal_code": "53913",
}


async def test_a_profile_is_made_read_and_changed(writer: Any) -> None:
    made = await writer.call("PUT", "/v1/customers/42", PROFILE)
    assert (made.status, made.revision, made.headers["Location"]) == (201, 1, "/v1/customers/42")
    assert {name: made.json[name] for name in PROFILE} == PROFILE
    read = await writer.call("GET", "/v1/customers/42")
    assert (read.status, read.json) == (200, made.json)
    assert read.headers["ETag"] == made.headers["ETag"]
    changed = await writer.call("PUT", "/v1/customers/42", PROFILE | {"city": "Madison"})
    assert (changed.status, changed.revision) == (200, 2)
    assert changed.headers["ETag"] != made.headers["ETag"]
    types = [event["type"] for event in await writer.events(42)]
    assert types == ["com.rswindrepair.customer.profile-changed.v1"] * 2
    last = (await writer.events(42))[-1]
    assert last["data"]["customer"] == PROFILE | {"city": "Madison", "customer_id": 42}
    assert (last["subject"], last["data"]["repair"]) == ("42", None)


async def test_the_same_profile_again_makes_no_event(writer: Any) -> None:
    await writer.call("PUT", "/v1/customers/42", PROFILE)
    again = await writer.call("PUT", "/v1/customers/42", PROFILE)
    assert (again.status, again.revision) == (200, 1)


async def test_a_profile_is_changed_only_as_it_was_seen(writer: Any) -> None:
    made = await writer.call("PUT", "/v1/customers/42", PROFILE)
    seen = {"If-Match": made.headers["ETag"]}
    await writer.recorded(42)
    path, other = "/v1/customers/42", PROFILE | {"city": "Madison"}
    assert (await writer.call("PUT", path, other, headers=seen)).status == 200
    late = await writer.call("PUT", path, PROFILE | {"city": "Sauk"}, headers=seen)
    assert (late.status, late.code) == (412, "precondition-failed")


async def test_nothing_is_made_for_whoever_expects_it_to_be_there(writer: Any) -> None:
    headers = {"If-Match": "*"}
    answer = await writer.call("PUT", "/v1/customers/42", PROFILE, headers=headers)
    assert (answer.status, answer.code) == (412, "precondition-failed")
    assert (await writer.call("GET", "/v1/customers/42")).code == "customer-unknown"


async def test_an_id_that_no_customer_can_have_is_refused(writer: Any) -> None:
    ids = ("0", "-1", "x", "9223372036854775808", "1.0", "+1", "\u0661")
    for customer_id, (method, body) in product(ids, (("PUT", PROFILE), ("GET", None))):
        answer = await writer.call(method, f"/v1/customers/{customer_id}", body)
        assert (answer.status, answer.code) == (422, "invalid")
        assert answer.pointers == ["customer_id"]


async def test_the_largest_id_is_a_customer_like_others(writer: Any) -> None:
    largest = 2**63 - 1
    assert (await writer.put_customer(largest)).status == 201
    assert (await writer.record(customer_id=largest)).status == 201
    heads = (await writer.call("GET", f"/v1/heads?after={largest - 1}")).json
    assert [head["customer_id"] for head in heads["heads"]] == [largest]
