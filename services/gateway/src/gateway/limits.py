"""Limits on the requests of a session and of a customer, and the access to the store of all limits.

The counts live in a Valkey of their own. While it is unavailable, slow or returns other data, the
process counts in its own memory. A fault of the counting changes no other response.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from gateway.metrics import LIMITED, LIMITS_STORE_FAULTS
from service_runtime.clock import Clock
from service_runtime.logs import get

_STORE_SECONDS: Final = 0.3
#: Seconds without calls to the store after a fault, so that a slow store does not delay every
#: request.
_PAUSE_SECONDS: Final = 5.0
#: Concurrent commands. Further ones wait here: a busy client is no fault of the store.
_AT_ONCE: Final = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit: a name that is part of its keys, and an amount for a period."""

    name: str
    item: RateLimitItem


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check: its rule, the requests left, and the seconds until the reset."""

    allowed: bool
    rule: Rule | None = None
    remaining: int = 0
    reset_after: float = 0.0


ALLOWED: Final = Verdict(allowed=True)


class Counter(Protocol):
    """A counter of events by key, one rule at a time."""

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one event, unless the limit is reached."""
        ...


@dataclass(frozen=True, slots=True)
class LimitsCounter:
    """A counter that uses a strategy of the `limits` library."""

    limiter: RateLimiter
    clock: Clock

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one event, unless the limit is reached."""
        # All strategies of the library share their keys, but their values differ. So the strategy's
        # name is part of the key.
        named = type(self.limiter).__name__, rule.name, key
        allowed = await self.limiter.hit(rule.item, *named)
        window = await self.limiter.get_window_stats(rule.item, *named)
        reset = max(0.0, window.reset_time - self.clock.now().timestamp())
        if not allowed:
            LIMITED.labels(rule.name).inc()
        return Verdict(allowed, rule, window.remaining, reset)


class CircuitBreaker:
    """A circuit breaker before the shared store: after a fault it stays open for five seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until = 0.0
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def call(self, work: Callable[[], Awaitable[_T]]) -> _T | None:
        """Return the result of `work`; None while the store is unavailable."""
        async with self._at_once:
            if self._clock.monotonic() < self._open_until:
                return None
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    return await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the counting goes on
                self._open_until = self._clock.monotonic() + _PAUSE_SECONDS
                LIMITS_STORE_FAULTS.inc()
                get().warning("limits-store-away", error=repr(error))
                return None


class SafeCounter:
    """A counter in the shared store, and in memory while the store is unavailable."""

    def __init__(
        self,
        shared: Counter | None,
        own: Counter,
        clock: Clock,
        *,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._shared = shared
        self._own = own
        self._breaker = CircuitBreaker(clock)
        self._close = close

    async def aclose(self) -> None:
        """Close the connections to the shared store."""
        if self._close is not None:
            await self._close()

    async def hit(self, rule: Rule, key: str) -> Verdict:
        """Count one event, unless the limit is reached."""
        shared = self._shared
        if shared is not None:
            verdict = await self._breaker.call(lambda: shared.hit(rule, key))
            if verdict is not None:
                return verdict
        return await self._own.hit(rule, key)


class RequestLimits:
    """Limits on the requests of one session and of one customer; 0 means no limit."""

    def __init__(self, counter: Counter, *, per_session: int, per_customer: int) -> None:
        self._counter = counter
        self._session = _rule("session", per_session) if per_session else None
        self._customer = _rule("customer", per_customer) if per_customer else None

    async def check(self, session: str, customer_id: int | None) -> Verdict:
        """Count a request; return the verdict of the first limit that is reached."""
        verdict = ALLOWED
        if self._session is not None:
            verdict = await self._counter.hit(self._session, session)
        if verdict.allowed and self._customer is not None and customer_id is not None:
            verdict = await self._counter.hit(self._customer, str(customer_id))
        return verdict


def _rule(name: str, amount: int) -> Rule:
    return Rule(name, RateLimitItemPerMinute(amount))


def network_of(peer: str) -> str:
    """Return the key of an address: itself, or its /64 for IPv6, which one person controls."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def request_counter(redis_url: str | None, clock: Clock) -> SafeCounter:
    """Return the counter of requests; it is cheap, because the numbers are large."""
    own = LimitsCounter(SlidingWindowCounterRateLimiter(MemoryStorage()), clock)
    if redis_url is None:
        return SafeCounter(None, own, clock)
    storage = _storage(redis_url)
    shared = LimitsCounter(SlidingWindowCounterRateLimiter(storage), clock)
    client = storage.bridge.get_connection()  # type: ignore[attr-defined] # of redis-py, as asked for
    return SafeCounter(shared, own, clock, close=client.aclose)


def _storage(redis_url: str) -> RedisStorage:
    return RedisStorage(
        f"async+{redis_url}",
        implementation="redispy",
        socket_connect_timeout=_STORE_SECONDS,
        socket_timeout=_STORE_SECONDS,
        max_connections=_AT_ONCE,
    )
