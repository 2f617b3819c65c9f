"""Limits on attempts to sign in, counted before a password is checked.

Attempts from a known device are counted for that device, and for the minute of its user. Attempts
from unknown devices are counted for the account over all addresses, for the address, and for the
pair. An attempt counts as failed until it is given back. So a hundred concurrent attempts count
like a hundred in sequence.
The numbers are explained in docs/operating.md, the reasons in decision 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.buckets import Bucket, Buckets, Drop, Taken
from gateway.limits import CircuitBreaker, network_of
from gateway.metrics import LIMITED
from service_runtime.clock import Clock

_HOUR: Final = 3_600.0
DEVICE: Final = Bucket("sign-in-device", 10, 90.0, 720.0)
ACCOUNT: Final = Bucket("sign-in-account", 10, _HOUR, 8 * _HOUR)
ACCOUNT_AND_ADDRESS: Final = Bucket("sign-in-account-address", 5, 180.0, 180.0)
ADDRESS: Final = Bucket("sign-in-address", 30, 30.0, 30.0)
#: Without the store each gateway takes a fifth of the limits, so five gateways stay within them.
_PROCESSES: Final = 5
#: One typing error is no attack, with the store or without it.
_SMALLEST: Final = 2


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt that was counted or refused, with the place to give it back."""

    taken: Taken
    drops: tuple[Drop, ...]
    shared: bool


class SignInLimits:
    """A counter of attempts in the shared store, and in memory while the store is unavailable."""

    def __init__(
        self, shared: Buckets | None, own: Buckets, clock: Clock, *, attempts_a_minute: int
    ) -> None:
        self._shared = shared
        self._own = own
        self._breaker = CircuitBreaker(clock)
        seconds = 60.0 / attempts_a_minute
        self._rate = Bucket("sign-in-rate", attempts_a_minute, seconds, seconds)

    async def from_known_device(self, device: str, account: str) -> Attempted:
        """Count an attempt from a known device of the account.

        Right passwords are given back. The rate of the account keeps one user's script from
        filling the hash queue that all known devices share.
        """
        return await self._take([(DEVICE, device), (self._rate, account)])

    async def from_unknown_device(self, account: str, peer: str) -> Attempted:
        """Count an attempt at an account, or at a name without an account."""
        network = network_of(peer)
        return await self._take(
            [
                (ACCOUNT, account),
                (ACCOUNT_AND_ADDRESS, f"{account}:{network}"),
                (ADDRESS, network),
                (self._rate, network),
            ]
        )

    async def give_back(self, attempted: Attempted) -> None:
        """Remove an attempt that was no wrong guess; it still counts in the rate of its minute."""
        drops = [drop for drop in attempted.drops if drop[0] is not self._rate]
        shared = self._shared
        if attempted.shared and shared is not None:
            await self._breaker.call(lambda: shared.give_back(drops))
        else:
            await self._own.give_back(self._parts(drops))

    async def _take(self, drops: Sequence[Drop]) -> Attempted:
        shared, taken = self._shared, None
        if shared is not None:
            taken = await self._breaker.call(lambda: shared.take(drops))
        in_shared = taken is not None
        if taken is None:
            taken = await self._own.take(self._parts(drops))
        if not taken.allowed:
            LIMITED.labels(taken.refused_by).inc()
        return Attempted(taken, tuple(drops), in_shared)

    def _parts(self, drops: Sequence[Drop]) -> list[Drop]:
        if self._shared is None:  # one process, and its memory is the store
            return list(drops)
        return [(bucket.shared_among(_PROCESSES, _SMALLEST), key) for bucket, key in drops]
