"""How often: attempts to sign in, and, where an operator says so, requests.

Counts live in a Redis of their own. When it is away, slow or holds something else, the process
counts in its own memory, for logins at a fifth of the limit; a fault of the counting is never a
reason to answer anybody anything else. Nobody is ever locked out: what is full empties by time.
"""

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import (
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from gateway.metrics import LIMITED, LIMITS_STORE_FAULTS
from service_runtime.clock import Clock
from service_runtime.logs import get

_STORE_SECONDS: Final = 0.3
#: After a fault the store is left alone for so long: a slow one must not cost every login.
_PAUSE_SECONDS: Final = 5.0
_MEMORY_SHARE: Final = 5
#: Who mistypes once or twice is no attacker, store or no store.
_SMALLEST: Final = 3


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """The numbers; an account and an address together get little, an address alone more."""

    failures_per_account_and_peer: int = 5
    failures_per_peer: int = 30
    minutes: int = 15
    attempts_per_peer_and_minute: int = 300
    failures_per_account_and_hour: int = 50


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit: a name that is part of its keys, and how many in which time."""

    name: str
    item: RateLimitItem

    def divided(self, share: int) -> "Rule":
        """Return the limit that one process keeps by itself, for its share of the requests."""
        if share == 1:
            return self
        amount = max(_SMALLEST, self.item.amount // share)
        return Rule(self.name, type(self.item)(amount, self.item.multiples))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may go on, by which rule; how many are left, and the seconds until it eases."""

    allowed: bool
    rule: Rule | None = None
    remaining: int = 0
    reset_after: float = 0.0


ALLOWED: Final = Verdict(allowed=True)


class Counter(Protocol):
    """Counts what happens under a key, each time for one rule."""

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one more, unless the limit is reached."""
        ...

    async def test(self, rule: Rule, key: str) -> Verdict:
        """Say whether one more would be allowed."""
        ...

    async def clear(self, rule: Rule, key: str) -> Verdict:
        """Forget what was counted."""
        ...


@dataclass(frozen=True, slots=True)
class LimitsCounter:
    """Counts with a strategy of the `limits` library."""

    limiter: RateLimiter
    clock: Clock

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one more, unless the limit is reached."""
        return await self._verdict(
            rule, key, allowed=await self.limiter.hit(rule.item, *self._key(rule, key))
        )

    async def test(self, rule: Rule, key: str) -> Verdict:
        """Say whether one more would be allowed."""
        return await self._verdict(
            rule, key, allowed=await self.limiter.test(rule.item, *self._key(rule, key))
        )

    async def clear(self, rule: Rule, key: str) -> Verdict:
        """Forget what was counted."""
        await self.limiter.clear(rule.item, *self._key(rule, key))
        return ALLOWED

    async def _verdict(self, rule: Rule, key: str, *, allowed: bool) -> Verdict:
        window = await self.limiter.get_window_stats(rule.item, *self._key(rule, key))
        reset = max(0.0, window.reset_time - self.clock.now().timestamp())
        if not allowed:
            LIMITED.labels(rule.name).inc()
        return Verdict(allowed, rule, window.remaining, reset)

    def _key(self, rule: Rule, key: str) -> tuple[str, str, str]:
        # All strategies of the library share their keys and cannot read each other's values.
        return type(self.limiter).__name__, rule.name, key


class SafeCounter:
    """Counts in the shared store, and by itself while that is away."""

    def __init__(self, shared: Counter | None, own: Counter, clock: Clock, *, share: int) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._share = share
        self._paused_until = 0.0

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one more, unless the limit is reached."""
        return await self._ask("hit", rule, key)

    async def test(self, rule: Rule, key: str) -> Verdict:
        """Say whether one more would be allowed."""
        return await self._ask("test", rule, key)

    async def clear(self, rule: Rule, key: str) -> Verdict:
        """Forget what was counted, in both places."""
        await self._own.clear(rule.divided(self._share), key)
        return await self._ask("clear", rule, key)

    async def _ask(self, verb: Literal["hit", "test", "clear"], rule: Rule, key: str) -> Verdict:
        if self._shared is not None and self._clock.monotonic() >= self._paused_until:
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    verdict: Verdict = await getattr(self._shared, verb)(rule, key)
                    return verdict
            except Exception as error:  # noqa: BLE001 - whatever it is, the counting goes on
                self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
                LIMITS_STORE_FAULTS.inc()
                get().warning("limits-store-away", error=repr(error))
        own: Verdict = await getattr(self._own, verb)(rule.divided(self._share), key)
        return own


class LoginGuard:
    """Judges attempts to sign in before any password is hashed."""

    def __init__(self, counter: Counter, limits: LoginLimits) -> None:
        self._counter = counter
        minutes = limits.minutes
        self._pair = _minutes("login-account-peer", limits.failures_per_account_and_peer, minutes)
        self._peer = _minutes("login-peer", limits.failures_per_peer, minutes)
        self._rate = _minutes("login-rate", limits.attempts_per_peer_and_minute, 1)
        self._account = _minutes("login-account", limits.failures_per_account_and_hour, 60)

    async def begin(self, account: str, peer: str) -> Verdict:
        """Say whether an attempt may be made, and count it as failed until it has not.

        Counting first is what stops a hundred guesses at once.
        """
        network = network_of(peer)
        for verdict in (
            await self._counter.test(self._peer, network),
            await self._counter.hit(self._rate, network),
        ):
            if not verdict.allowed:
                return verdict
        return await self._counter.hit(self._pair, f"{account}:{network}")

    async def failed(self, account: str, peer: str) -> bool:
        """Count a wrong password; True when the account sees too many, from wherever they come.

        Such an account is not locked, which would be a weapon against its owner: it is slowed.
        """
        await self._counter.hit(self._peer, network_of(peer))
        return not (await self._counter.hit(self._account, account)).allowed

    async def succeeded(self, account: str, peer: str) -> None:
        """Forget the failures of this account from this address, and only those."""
        await self._counter.clear(self._pair, f"{account}:{network_of(peer)}")


class RequestLimits:
    """Bounds the requests of one session and of one customer; a zero is no bound."""

    def __init__(self, counter: Counter, *, per_session: int, per_customer: int) -> None:
        self._counter = counter
        self._session = _minutes("session", per_session, 1) if per_session else None
        self._customer = _minutes("customer", per_customer, 1) if per_customer else None

    async def check(self, session: str, customer_id: int | None) -> Verdict:
        """Count a request; the first limit that is reached answers."""
        verdict = ALLOWED
        if self._session is not None:
            verdict = await self._counter.hit(self._session, session)
        if verdict.allowed and self._customer is not None and customer_id is not None:
            verdict = await self._counter.hit(self._customer, str(customer_id))
        return verdict


def _minutes(name: str, amount: int, minutes: int) -> Rule:
    return Rule(name, RateLimitItemPerMinute(amount, minutes))


def network_of(peer: str) -> str:
    """Return what an address is counted under: itself, or its /64, which one person holds."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def login_counter(redis_url: str | None, clock: Clock) -> SafeCounter:
    """Return the counter of logins: exact, since the numbers are small."""
    own = LimitsCounter(MovingWindowRateLimiter(MemoryStorage()), clock)
    if redis_url is None:  # one process, then, and its own memory is the store
        return SafeCounter(None, own, clock, share=1)
    shared = LimitsCounter(MovingWindowRateLimiter(_storage(redis_url)), clock)
    return SafeCounter(shared, own, clock, share=_MEMORY_SHARE)


def request_counter(redis_url: str | None, clock: Clock) -> SafeCounter:
    """Return the counter of requests: cheap, since the numbers are large."""
    own = LimitsCounter(SlidingWindowCounterRateLimiter(MemoryStorage()), clock)
    if redis_url is None:
        return SafeCounter(None, own, clock, share=1)
    shared = LimitsCounter(SlidingWindowCounterRateLimiter(_storage(redis_url)), clock)
    return SafeCounter(shared, own, clock, share=1)


def _storage(redis_url: str) -> RedisStorage:
    return RedisStorage(
        f"async+{redis_url}",
        implementation="redispy",
        socket_connect_timeout=_STORE_SECONDS,
        socket_timeout=_STORE_SECONDS,
        max_connections=8,
    )
