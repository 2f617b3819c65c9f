"""Counting attempts, in the store or without it."""

import asyncio

import pytest
from limits import RateLimitItemPerMinute

from gateway.limits import (
    ALLOWED,
    LimitsCounter,
    LoginGuard,
    LoginLimits,
    RequestLimits,
    Rule,
    SafeCounter,
    Verdict,
    login_counter,
    network_of,
    request_counter,
)
from service_runtime.clock import SystemClock
from service_runtime.testing import ManualClock

CLOCK = SystemClock()


class AwayCounter:
    """A store that can be broken and mended, and counts how often it is asked."""

    def __init__(self, fault: Exception | None) -> None:
        self.fault = fault
        self.asked = 0

    async def hit(self, _rule: Rule, _key: str) -> Verdict:
        return await self._answer()

    async def test(self, _rule: Rule, _key: str) -> Verdict:
        return await self._answer()

    async def clear(self, _rule: Rule, _key: str) -> Verdict:
        return await self._answer()

    async def _answer(self) -> Verdict:
        self.asked += 1
        if self.fault is not None:
            if isinstance(self.fault, TimeoutError):
                await asyncio.sleep(10)
            raise self.fault
        return ALLOWED


def guard(**limits: int) -> LoginGuard:
    return LoginGuard(login_counter(None, CLOCK), LoginLimits(**limits))


async def test_the_sixth_failure_of_an_account_from_an_address_is_refused() -> None:
    logins = guard()

    for _ in range(5):
        assert (await logins.begin("anna", "198.51.100.7")).allowed
        await logins.failed("anna", "198.51.100.7")

    verdict = await logins.begin("anna", "198.51.100.7")
    assert not verdict.allowed
    assert 0 < verdict.reset_after <= 900
    assert (await logins.begin("anna", "198.51.100.8")).allowed
    assert (await logins.begin("berta", "198.51.100.7")).allowed


async def test_a_hundred_guesses_at_once_are_counted_before_they_are_checked() -> None:
    logins = guard()

    verdicts = await asyncio.gather(*(logins.begin("anna", "198.51.100.7") for _ in range(100)))

    assert sum(verdict.allowed for verdict in verdicts) == 5


async def test_success_forgets_the_failures_of_this_account_here_and_only_those() -> None:
    logins = guard(failures_per_peer=6)
    for name in ("anna",) * 4 + ("berta",):
        await logins.begin(name, "198.51.100.7")
        await logins.failed(name, "198.51.100.7")

    await logins.succeeded("anna", "198.51.100.7")

    assert (await logins.begin("anna", "198.51.100.7")).allowed
    await logins.failed("anna", "198.51.100.7")
    assert not (await logins.begin("anna", "198.51.100.7")).allowed  # the address has had its six


async def test_an_account_under_attack_from_everywhere_is_slowed_and_never_locked() -> None:
    logins = guard(failures_per_account_and_hour=3)

    slowed = [await logins.failed("anna", f"198.51.100.{n}") for n in range(5)]

    assert slowed == [False, False, False, True, True]
    assert (await logins.begin("anna", "203.0.113.1")).allowed


async def test_too_many_attempts_in_a_minute_are_refused() -> None:
    logins = guard(attempts_per_peer_and_minute=3)

    verdicts = [await logins.begin(f"user{n}", "198.51.100.7") for n in range(4)]

    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert verdicts[-1].reset_after <= 60


@pytest.mark.parametrize(
    "fault", [ConnectionError("away"), TimeoutError(), ValueError("WRONGTYPE")]
)
async def test_a_store_that_fails_is_replaced_by_a_smaller_count_of_our_own(
    fault: Exception,
) -> None:
    clock, away = ManualClock(), AwayCounter(fault)
    own = login_counter(None, CLOCK)._own
    logins = LoginGuard(SafeCounter(away, own, clock, share=5), LoginLimits())

    verdicts = [await logins.begin("anna", "198.51.100.7") for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert away.asked == 1  # and is left alone for a while

    away.fault = None
    clock.advance(6)
    assert (await logins.begin("anna", "198.51.100.7")).allowed
    assert away.asked > 1


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


def test_strategies_never_share_a_key() -> None:
    login, request = login_counter(None, CLOCK)._own, request_counter(None, CLOCK)._own
    assert isinstance(login, LimitsCounter)
    assert isinstance(request, LimitsCounter)
    rule = Rule("x", RateLimitItemPerMinute(1))

    assert login._key(rule, "k") != request._key(rule, "k")
