"""One request with decisions of many repairs: each independent, all under one key, none of another
customer.
"""

import asyncio
import uuid
from typing import Any

import pytest

PATH = "/customer/api/repairs/status/"


async def decide(writer: Any, repairs: Any, status: str = "APPROVED", **more: Any) -> Any:
    key = more.pop("key", "k")
    body = {
        "status": status,
        "repairs": [
            {"repair_id": one["repair_id"], "etag": f'"{one["event_id"]}"'} for one in repairs
        ],
        **more.pop("body", {}),
    }
    return await writer.portal("POST", PATH, body, headers={"Idempotency-Key": key}, **more)


def statuses(answer: Any) -> list[int]:
    return [result["status"] for result in answer.json["results"]]


async def test_each_repair_has_its_own_result_in_the_order_sent(
    writer: Any, check_lists: Any
) -> None:
    await writer.put_customer(8)
    fresh, changed, done, foreign, gone = [
        await writer.recorded(customer) for customer in (7, 7, 7, 8, 7)
    ]
    await writer.call("PATCH", f"/v1/repairs/{changed['repair_id']}", {"cost": "260.00"})
    await writer.call("POST", f"/v1/repairs/{done['repair_id']}/status", {"status": "COMPLETED"})
    await writer.call("DELETE", f"/v1/repairs/{gone['repair_id']}", {"reason": "x"})
    unknown = {"repair_id": str(uuid.uuid4()), "event_id": fresh["event_id"]}
    sent = [changed, fresh, done, foreign, gone, unknown]

    answer = await decide(writer, sent, body={"reason": "Budget"})

    assert answer.status == 200
    assert statuses(answer) == [412, 200, 409, 404, 404, 404]
    results = answer.json["results"]
    assert [one["repair_id"] for one in results] == [one["repair_id"] for one in sent]
    assert results[0]["problem"]["changed"] == [
        {"field": "cost", "seen": "240.00", "now": "260.00"}
    ]
    assert results[1]["repair"]["status"] == "APPROVED"
    assert "Completed" in results[2]["problem"]["detail"]
    there, elsewhere = results[5]["problem"], results[3]["problem"]
    assert there == elsewhere, "another's repair is as one that does not exist"
    event = (await writer.events())[-1]
    assert (answer.revision, event["data"]["reason"]) == (event["data"]["revision"], "Budget")
    assert (await writer.call("GET", f"/v1/repairs/{foreign['repair_id']}")).json == foreign
    await check_lists(writer.pool)


async def test_a_hundred_are_decided_at_once(writer: Any, check_lists: Any) -> None:
    repairs = [await writer.recorded() for _ in range(100)]
    answer = await decide(writer, repairs, "DENIED")
    assert statuses(answer) == [200] * 100
    assert answer.revision == 201
    await check_lists(writer.pool)


async def test_the_same_key_decides_once_and_answers_the_same(writer: Any) -> None:
    repairs = [await writer.recorded(), await writer.recorded()]
    first = await decide(writer, repairs)
    again = await decide(writer, repairs)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await decide(writer, repairs, "DENIED")
    assert (other.status, other.code) == (422, "key-reused")
    assert len(await writer.events()) == 5


async def test_what_was_refused_is_kept_under_the_key_too(writer: Any) -> None:
    repair = await writer.recorded()
    await writer.call("PATCH", f"/v1/repairs/{repair['repair_id']}", {"cost": "260.00"})
    first = await decide(writer, [repair])
    await writer.call("PATCH", f"/v1/repairs/{repair['repair_id']}", {"cost": "270.00"})
    assert (await decide(writer, [repair])).body == first.body
    assert statuses(first) == [412]


async def test_two_colleagues_who_decide_the_same_at_once_do_each_repair_once(
    writer: Any, check_lists: Any
) -> None:
    repairs = [await writer.recorded() for _ in range(6)]
    anna, bert = await asyncio.gather(
        decide(writer, repairs, "APPROVED", key="anna"),
        decide(writer, list(reversed(repairs)), "DENIED", key="bert"),
    )
    told = {one["repair_id"]: [one["status"]] for one in anna.json["results"]}
    for one in bert.json["results"]:
        told[one["repair_id"]].append(one["status"])
    assert all(sorted(pair) == [200, 409] for pair in told.values())
    await check_lists(writer.pool)


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"repairs": []}, ["/repairs"]),
        ({"status": "COMPLETED"}, ["/status"]),
        ({"repairs": [{"repair_id": "x", "etag": "*"}]},
         ["/repairs/0/repair_id", "/repairs/0/etag"]),
        ({"customer_id": 8}, ["/customer_id"]),
    ],
)  # fmt: skip
async def test_a_bad_body_decides_nothing(writer: Any, change: Any, pointers: Any) -> None:
    repair = await writer.recorded()
    answer = await decide(writer, [repair], body=change)
    assert (answer.status, answer.pointers) == (422, pointers)
    for body in ([repair] * 2, [repair] * 101):
        assert (await decide(writer, body)).pointers == ["/repairs"]
    assert len(await writer.events()) == 2


async def test_without_a_key_nothing_is_decided(writer: Any) -> None:
    repair = await writer.recorded()
    body = {"status": "APPROVED",
            "repairs": [{"repair_id": repair["repair_id"], "etag": repair["event_id"]}]}  # fmt: skip
    answer = await writer.portal("POST", PATH, body)
    assert (answer.status, answer.code) == (400, "key-required")
