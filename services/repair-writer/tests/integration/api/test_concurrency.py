import asyncio
import random
from typing import Any

import pytest


async def test_parallel_commands_on_one_customer_number_it_without_gaps(
    writer: Any, check_lists: Any
) -> None:
    answers = await asyncio.gather(*(writer.record(unit_number=f"U{n}") for n in range(100)))
    assert {answer.status for answer in answers} == {201}
    assert sorted(answer.revision for answer in answers) == list(range(2, 102))
    await check_lists(writer.pool)


async def test_the_times_of_a_list_never_run_backwards_even_if_the_clock_does(
    writer: Any, check_lists: Any
) -> None:
    await writer.pool.execute("UPDATE writer.event SET accepted_at = accepted_at + interval '1h'")
    later = await writer.pool.fetchval(
        "UPDATE writer.customer SET changed_at = changed_at + interval '1h' RETURNING changed_at"
    )
    await writer.recorded()
    await check_lists(writer.pool)
    accepted = await writer.pool.fetchval("SELECT max(accepted_at) FROM writer.event")
    assert accepted == later


async def test_twenty_completions_at_once_are_one(writer: Any, check_lists: Any) -> None:
    repair = await writer.recorded(status="IN_PROGRESS")
    path = f"/v1/repairs/{repair['repair_id']}/status"
    done = {"status": "COMPLETED"}
    answers = await asyncio.gather(*(writer.call("POST", path, done) for _ in range(20)))
    assert {(answer.status, answer.revision) for answer in answers} == {(200, 3)}
    await check_lists(writer.pool)


async def test_of_two_who_saw_the_same_one_decides(writer: Any) -> None:
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}/status"
    seen = {"If-Match": f'"{repair["event_id"]}"'}
    answers = await asyncio.gather(
        *(
            writer.call("POST", path, {"status": status}, headers=seen)
            for status in ("APPROVED", "DENIED") * 5
        )
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9


async def test_one_reference_recorded_for_two_customers_at_once_is_one_repair(
    writer: Any, check_lists: Any
) -> None:
    await writer.put_customer(8)
    answers = await asyncio.gather(
        *(writer.record(7 + n % 2, source_ref="same") for n in range(20))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    await check_lists(writer.pool)


async def test_one_customer_made_by_many_at_once_begins_once(writer: Any, check_lists: Any) -> None:
    answers = await asyncio.gather(*(writer.put_customer(42, f"Fleet {n}") for n in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert sorted(answer.revision for answer in answers) == list(range(1, 21))
    await check_lists(writer.pool)


async def test_a_repair_thrown_to_and_fro_is_always_of_one_customer(
    writer: Any, check_lists: Any
) -> None:
    for customer in (1, 9):
        await writer.put_customer(customer)
    repair = await writer.recorded()
    path = f"/v1/repairs/{repair['repair_id']}"

    async def throw(number: int) -> None:
        body = {"customer_id": (1, 7, 9)[number % 3], "cost": f"{number}.00"}
        answer = await writer.call("PATCH", path, body)
        assert answer.status == 200, answer.body

    await asyncio.gather(*(throw(number) for number in range(30)))
    await check_lists(writer.pool)
    last = (await writer.call("GET", path)).json
    assert await owners(writer, repair["repair_id"]) == {last["customer_id"]}


async def owners(writer: Any, repair_id: str) -> set[int]:
    """Fold every stream on its own and return each customer's repairs."""
    found: set[int] = set()
    for customer in (1, 7, 9):
        for event in await writer.events(customer):
            state = event["data"]["repair"]
            if state and state["repair_id"] == repair_id:
                (found.discard if state["removed"] else found.add)(customer)
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_commands_leave_lists_that_fold_to_the_tables(
    writer: Any, check_lists: Any, seed: int
) -> None:
    drawn = random.Random(seed)
    for customer in (1, 9):
        await writer.put_customer(customer)
    known = [(await writer.recorded(customer, source_ref=f"{customer}"))["repair_id"]
             for customer in (1, 7, 9)]  # fmt: skip

    async def act(number: int) -> None:
        path = f"/v1/repairs/{drawn.choice(known)}"
        status = drawn.choice(["PENDING", "APPROVED", "IN_PROGRESS", "DENIED"])
        method, where, body = drawn.choice([
            ("POST", f"{path}/status", {"status": status}),
            ("PATCH", path, {"unit_number": f"U{number}"}),
            ("PATCH", path, {"customer_id": drawn.choice([1, 7, 9])}),
            ("DELETE", path, {"reason": "x"}),
            ("POST", f"{path}/restore", {}),
        ])  # fmt: skip
        answer = await writer.call(method, where, body)
        assert answer.status in {200, 409}, answer.body

    for start in range(0, 120, 12):
        await asyncio.gather(*(act(number) for number in range(start, start + 12)))
    await check_lists(writer.pool)
    for customer in (1, 7, 9):
        folded = {}
        for event in await writer.events(customer):
            state = event["data"]["repair"]
            if state:
                folded[state["repair_id"]] = state
        alive = {name for name, state in folded.items() if not state["removed"]}
        rows = await writer.pool.fetch(
            "SELECT repair_id FROM writer.repair WHERE customer_id = $1 AND NOT removed", customer
        )
        assert {str(row["repair_id"]) for row in rows} == alive
