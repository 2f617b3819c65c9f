"""Buckets of attempts: equal in memory and in Valkey, in a batch and one by one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import buckets
from gateway.buckets import Bucket, Buckets, LateError, MemoryBuckets, SharedBuckets
from service_runtime.clock import SystemClock
from service_runtime.redis import create_redis
from service_runtime.testing import ManualClock

HOUR = 3_600.0
SLOW = Bucket("slow", 10, HOUR, 8 * HOUR)
QUICK = Bucket("quick", 3, 60.0, 60.0)


@pytest.fixture
async def shared(redis_url: str) -> AsyncIterator[SharedBuckets]:
    client = create_redis(redis_url)
    yield SharedBuckets(client.register_script, SystemClock())
    await client.aclose()


async def test_ten_are_taken_and_then_the_wait_doubles_up_to_the_longest() -> None:
    clock = ManualClock()
    held = MemoryBuckets(clock)
    for _ in range(10):
        assert (await held.take([(SLOW, "anna")])).allowed

    waits = []
    for _ in range(6):
        refused = await held.take([(SLOW, "anna")])
        waits.append(refused.seconds / HOUR)
        clock.advance(refused.seconds)
        assert (await held.take([(SLOW, "anna")])).allowed

    assert waits == [1, 2, 4, 8, 8, 8]


async def test_what_is_refused_makes_nobody_wait_longer() -> None:
    clock = ManualClock()
    held = MemoryBuckets(clock)
    for _ in range(1_000):
        await held.take([(QUICK, "anna")])

    clock.advance(60)

    assert (await held.take([(QUICK, "anna")])).allowed


async def test_one_is_forgotten_at_a_time() -> None:
    clock = ManualClock()
    held = MemoryBuckets(clock)
    for _ in range(9):
        await held.take([(SLOW, "anna")])
    clock.advance(2 * HOUR)

    taken = [(await held.take([(SLOW, "anna")])).allowed for _ in range(4)]

    assert taken == [True, True, True, False]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(0, 2 * HOUR), st.just(0.0), st.sampled_from([HOUR, HOUR / 2])),
        min_size=12,
        max_size=80,
    )
)
async def test_in_no_hour_more_than_ten(pauses: list[float]) -> None:
    clock = ManualClock()
    held = MemoryBuckets(clock)
    checked: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        if (await held.take([(SLOW, "anna")])).allowed:
            checked.append(clock.monotonic())

    for first in checked:
        assert sum(first <= at < first + HOUR - 0.001 for at in checked) <= 10


async def test_a_hundred_at_once_are_as_many_as_one_by_one(shared: SharedBuckets) -> None:
    for held in (MemoryBuckets(ManualClock()), shared):
        taken = await asyncio.gather(*(_take(held) for _ in range(8)))
        taken += await asyncio.gather(*(_take(held) for _ in range(8)))

        assert sum(taken) == 10


async def _take(held: Buckets) -> bool:
    return (await held.take([(SLOW, "anna")])).allowed


async def test_all_are_filled_or_none(shared: SharedBuckets) -> None:
    for held in (MemoryBuckets(ManualClock()), shared):
        for key in ("a", "b", "c"):
            assert (await held.take([(SLOW, "anna"), (QUICK, key)])).allowed
        for _ in range(3):
            await held.take([(QUICK, "a")])

        refused = await held.take([(SLOW, "anna"), (QUICK, "a")])
        left = [(await held.take([(SLOW, "anna")])).allowed for _ in range(8)]

        assert refused.refused_by == "quick"
        assert left.count(True) == 7


async def test_what_is_given_back_was_never_taken(shared: SharedBuckets) -> None:
    for held in (MemoryBuckets(ManualClock()), shared):
        for _ in range(50):
            assert (await held.take([(QUICK, "anna")])).allowed
            await held.give_back([(QUICK, "anna")])
        for _ in range(3):
            assert (await held.take([(QUICK, "anna")])).allowed
        await held.give_back([(QUICK, "anna")])

        assert (await held.take([(QUICK, "anna")])).allowed
        assert not (await held.take([(QUICK, "anna")])).allowed


async def test_right_passwords_do_not_keep_failures_from_being_forgotten(
    shared: SharedBuckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(shared, "_clock", clock)
    for held in (MemoryBuckets(clock), shared):
        for failures in (2, 0, 0, 0, 0):
            shared.now = clock.monotonic()
            for _ in range(failures):
                assert (await held.take([(QUICK, "office")])).allowed
            assert (await held.take([(QUICK, "office")])).allowed  # the first fills the bucket
            await held.give_back([(QUICK, "office")])
            clock.advance(30)
        shared.now = clock.monotonic()

        taken = [(await held.take([(QUICK, "office")])).allowed for _ in range(4)]

        assert taken == [True, True, True, False]


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "both", "back"]), st.sampled_from([0.0, 1.0, 59.5, 60.0, 125.0, 1_000.0, 4_000.0])),
    max_size=60,
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS, st.integers(0, 10**9))
async def test_memory_and_store_follow_one_rule(
    redis_url: str, steps: list[tuple[str, float]], run: int
) -> None:
    """Every step has the same result in Lua and in Python."""
    clock, client = ManualClock(), create_redis(redis_url)
    memory, shared = MemoryBuckets(clock), SharedBuckets(client.register_script, clock)
    rapid, growing = Bucket(f"r{run}", 3, 60.0, 60.0), Bucket(f"g{run}", 2, 60.0, 960.0)
    try:
        for step, pause in steps:
            clock.advance(pause)
            shared.now = clock.monotonic()
            drops = [(growing, "k")] if step != "both" else [(growing, "k"), (rapid, "k")]
            verb = "give_back" if step == "back" else "take"
            ours = await getattr(memory, verb)(drops)
            theirs = await getattr(shared, verb)(drops)
            assert ours.refused_by == theirs.refused_by
            assert ours.seconds == pytest.approx(theirs.seconds, abs=0.01)
    finally:
        await client.flushdb()
        await client.aclose()


async def test_a_command_that_is_executed_too_late_counts_nothing(
    shared: SharedBuckets, redis_url: str
) -> None:
    assert (await shared.take([(QUICK, "anna")])).allowed
    assert shared._offset is not None
    shared._offset -= 10  # as if it had been sent ten seconds ago

    with pytest.raises(LateError):
        await shared.take([(QUICK, "anna")])

    assert [(await shared.take([(QUICK, "anna")])).allowed for _ in range(3)] == [True, True, False]


async def test_what_is_forgotten_takes_no_room(
    shared: SharedBuckets, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared.take([(QUICK, "anna")])
    client = create_redis(redis_url)
    assert 0 < await client.pttl("quick:anna") <= 60_000
    await client.aclose()

    monkeypatch.setattr(buckets, "_MAX_IN_MEMORY", 100)
    memory = MemoryBuckets(ManualClock())
    for number in range(1_000):
        await memory.take([(QUICK, f"name {number}")])
    assert len(memory._held) <= 100
