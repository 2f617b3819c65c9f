"""Limits of attempts to sign in, with the shared store and without it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
from limits import RateLimitItemPerMinute

from gateway.buckets import Drop, MemoryBuckets, SharedBuckets, Taken
from gateway.limits import Rule, request_counter
from gateway.sign_in_limits import SignInLimits
from service_runtime.clock import SystemClock
from service_runtime.redis import create_redis
from service_runtime.testing import ManualClock

HOUR = 3_600.0


class BrokenBuckets:
    """A store that can be broken and repaired, and counts its calls."""

    def __init__(self, fault: Exception | None) -> None:
        self.fault = fault
        self.calls = 0

    async def take(self, _: Sequence[Drop]) -> Taken:
        self.calls += 1
        if isinstance(self.fault, TimeoutError):
            await asyncio.sleep(10)
        if self.fault is not None:
            raise self.fault
        return Taken()

    async def give_back(self, drops: Sequence[Drop]) -> Taken:
        return await self.take(drops)


def alone(clock: ManualClock, **changed: int) -> SignInLimits:
    rate = {"attempts_a_minute": 300, **changed}
    return SignInLimits(None, MemoryBuckets(clock), clock, **rate)


@pytest.fixture
async def together(redis_url: str) -> AsyncIterator[SignInLimits]:
    clock, client = SystemClock(), create_redis(redis_url)
    shared = SharedBuckets(client.register_script, clock)
    yield SignInLimits(shared, MemoryBuckets(clock), clock, attempts_a_minute=300)
    await client.aclose()


async def checked(limits: SignInLimits, account: str, peer: str) -> bool:
    return (await limits.from_unknown_device(account, peer)).taken.allowed


async def test_of_guesses_from_everywhere_at_once_ten_are_checked(together: SignInLimits) -> None:
    for limits in (alone(ManualClock()), together):
        guesses = [checked(limits, "anna", f"198.51.100.{number}") for number in range(100)]

        assert sum(await asyncio.gather(*guesses)) == 10


async def test_the_wait_for_one_more_check_grows() -> None:
    clock = ManualClock()
    limits = alone(clock)
    for number in range(10):
        assert await checked(limits, "anna", f"198.51.100.{number}")

    waits = []
    for number in range(4):
        attempted = await limits.from_unknown_device("anna", f"203.0.113.{number}")
        waits.append(attempted.taken.seconds / HOUR)
        clock.advance(attempted.taken.seconds)
        assert await checked(limits, "anna", f"203.0.113.{number}")

    assert waits == [1, 2, 4, 8]


async def test_strangers_never_use_up_what_a_known_device_has() -> None:
    clock = ManualClock()
    limits = alone(clock)
    for number in range(1_000):
        await limits.from_unknown_device(f"name {number % 7}", "198.51.100.7")

    own = [(await limits.from_known_device("d1", "anna")).taken.allowed for _ in range(11)]

    assert own == [True] * 10 + [False]
    assert (await limits.from_known_device("d2", "anna")).taken.allowed


async def test_a_user_has_a_rate_over_all_known_devices_and_takes_nobody_elses() -> None:
    limits = alone(ManualClock(), attempts_a_minute=20)
    allowed = []
    for number in range(40):
        attempted = await limits.from_known_device(f"d{number}", "mallory")
        allowed.append(attempted.taken.allowed)
        if attempted.taken.allowed:  # every password is right
            await limits.give_back(attempted)

    assert allowed == [True] * 20 + [False] * 20
    assert (await limits.from_known_device("d99", "anna")).taken.allowed


async def test_the_sixth_guess_at_an_account_from_one_address_waits() -> None:
    limits = alone(ManualClock())

    guesses = [await checked(limits, "anna", "198.51.100.7") for _ in range(6)]

    assert guesses == [True] * 5 + [False]
    assert await checked(limits, "anna", "198.51.100.8")
    assert await checked(limits, "berta", "198.51.100.7")


async def test_one_address_has_thirty_guesses_at_all_accounts_together() -> None:
    limits = alone(ManualClock())

    guesses = [checked(limits, f"name {number}", "198.51.100.7") for number in range(100)]

    assert sum(await asyncio.gather(*guesses)) == 30


async def test_right_passwords_are_attempts_of_their_minute_and_nothing_else() -> None:
    clock = ManualClock()
    limits = alone(clock, attempts_a_minute=60)
    for _ in range(60):
        attempted = await limits.from_unknown_device("anna", "198.51.100.7")
        assert attempted.taken.allowed
        await limits.give_back(attempted)

    refused = await limits.from_unknown_device("berta", "198.51.100.7")

    assert refused.taken.refused_by == "sign-in-rate"
    assert 0 < refused.taken.seconds <= 60


@pytest.mark.parametrize(
    "fault", [ConnectionError("away"), TimeoutError(), ValueError("WRONGTYPE")]
)
async def test_without_the_store_each_process_takes_its_part(fault: Exception) -> None:
    clock, broken = ManualClock(), BrokenBuckets(fault)
    limits = SignInLimits(broken, MemoryBuckets(clock), clock, attempts_a_minute=300)

    guesses = [await checked(limits, "anna", f"198.51.100.{number}") for number in range(5)]

    assert guesses == [True, True, False, False, False]  # five processes check ten an hour
    assert broken.calls == 1  # then it is not called for a while

    broken.fault = None
    clock.advance(6)
    assert await checked(limits, "anna", "198.51.100.9")
    assert broken.calls > 1


async def test_an_attempt_is_given_back_where_it_was_counted() -> None:
    clock, broken = ManualClock(), BrokenBuckets(ConnectionError("away"))
    limits = SignInLimits(broken, MemoryBuckets(clock), clock, attempts_a_minute=300)
    attempted = await limits.from_unknown_device("anna", "198.51.100.7")

    broken.fault = None
    clock.advance(6)
    calls = broken.calls
    await limits.give_back(attempted)

    assert broken.calls == calls
    assert not limits._own._held.keys() - {("sign-in-rate", "198.51.100.7")}  # type: ignore[attr-defined]


async def test_more_requests_at_once_than_connections_are_counted_by_the_store(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A starved machine takes longer than the limit of the store, which is tested elsewhere.
    monkeypatch.setattr("gateway.limits._STORE_SECONDS", 30.0)
    counter = request_counter(redis_url, SystemClock())
    rule = Rule("crowd", RateLimitItemPerMinute(60))

    async with aclosing(counter):
        verdicts = await asyncio.gather(*(counter.hit(rule, "one") for _ in range(100)))

        assert sum(verdict.allowed for verdict in verdicts) == 60
        own = counter._own
        assert (await own.hit(rule, "one")).remaining == 59  # nothing was counted in memory
