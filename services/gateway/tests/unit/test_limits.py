"""Counting of requests, with the store and without it."""

import asyncio

import pytest
from limits import RateLimitItemPerMinute

from gateway.limits import (
    ALLOWED,
    CircuitBreaker,
    RequestLimits,
    Rule,
    SafeCounter,
    Verdict,
    network_of,
    request_counter,
)
from service_runtime.clock import SystemClock
from service_runtime.testing import ManualClock

CLOCK = SystemClock()
RULE = Rule("x", RateLimitItemPerMinute(2))


class AwayCounter:
    """A store that can be broken and repaired, and counts its calls."""

    def __init__(self, fault: Exception | None) -> None:
        self.fault = fault
        self.asked = 0

    async def hit(self, _rule: Rule, _key: str) -> Verdict:
        self.asked += 1
        if isinstance(self.fault, TimeoutError):
            await asyncio.sleep(10)
        if self.fault is not None:
            raise self.fault
        return ALLOWED


@pytest.mark.parametrize(
    "fault", [ConnectionError("away"), TimeoutError(), ValueError("WRONGTYPE")]
)
async def test_a_store_that_fails_is_replaced_by_a_count_of_our_own(fault: Exception) -> None:
    clock, away = ManualClock(), AwayCounter(fault)
    counter = SafeCounter(away, request_counter(None, CLOCK)._own, clock)

    verdicts = [await counter.hit(RULE, "one") for _ in range(3)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, False]
    assert away.asked == 1  # then it is not called for a while

    away.fault = None
    clock.advance(6)
    assert (await counter.hit(RULE, "one")).allowed
    assert away.asked == 2


async def test_what_waits_for_a_store_that_fails_is_let_go_at_once() -> None:
    breaker, calls = CircuitBreaker(ManualClock()), 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ConnectionError

    assert await asyncio.gather(*(breaker.call(fail) for _ in range(100))) == [None] * 100
    assert calls <= 8


async def test_requests_are_bounded_by_session_and_by_customer() -> None:
    limits = RequestLimits(request_counter(None, CLOCK), per_session=3, per_customer=5)

    session = [(await limits.check("one", 42)).allowed for _ in range(4)]
    customer = [await limits.check("two", 42) for _ in range(3)]

    assert session == [True, True, True, False]
    assert [verdict.allowed for verdict in customer] == [True, True, False]
    assert customer[-1].rule is not None
    assert customer[-1].rule.name == "customer"


async def test_no_bound_is_no_count() -> None:
    away = AwayCounter(ValueError("never asked"))

    verdict = await RequestLimits(away, per_session=0, per_customer=0).check("one", 42)

    assert verdict.allowed
    assert away.asked == 0


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", "unknown"),
    ],
)
def test_an_address_is_counted_with_its_neighbours_in_one_hand(peer: str, network: str) -> None:
    assert network_of(peer) == network
