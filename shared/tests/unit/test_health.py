"""Health of a process: checks, heartbeats, and its stopping state."""

from service_runtime.ops import HEART_STOPPED_AFTER_SECONDS, Health
from service_runtime.testing import ManualClock


async def fine() -> None:
    """Return no problem."""


async def broken() -> None:
    raise ConnectionError("Postgres is away")


async def speechless() -> None:
    raise ValueError


async def test_a_process_without_faults_is_ready() -> None:
    health = Health(ManualClock())
    health.register("postgres", fine)
    assert await health.faults() == {}
    assert health.parts == ["postgres"]


async def test_each_fault_is_named_with_its_reason() -> None:
    health = Health(ManualClock())
    for name, check in (("postgres", broken), ("redis", speechless), ("kafka", fine)):
        health.register(name, check)
    assert await health.faults() == {"postgres": "Postgres is away", "redis": "ValueError"}


async def test_a_process_that_stops_is_not_ready() -> None:
    health = Health(ManualClock())
    health.stopping = True
    assert list(await health.faults()) == ["process"]


def test_a_heart_that_has_never_beaten_is_not_missed() -> None:
    clock = ManualClock()
    clock.advance(1_000)
    assert Health(clock).stopped_hearts() == []


def test_a_heart_that_falls_silent_is_named_until_it_beats_again() -> None:
    clock = ManualClock()
    health = Health(clock)
    health.beat("loop")
    health.beat("publisher")
    clock.advance(HEART_STOPPED_AFTER_SECONDS)
    assert health.stopped_hearts() == []
    health.beat("publisher")
    clock.advance(1)
    assert health.stopped_hearts() == ["loop"]
    health.beat("loop")
    assert health.stopped_hearts() == []
