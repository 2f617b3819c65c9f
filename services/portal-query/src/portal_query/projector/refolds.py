"""The rebuild queue: the customers that wait for a rebuild, and the few workers that do it.

A customer waits once, however often it is requested. A parked customer is retried at growing
intervals, from one minute up to an hour. All others are retried until the rebuild succeeds.

The queue is bounded, even when a million customers fail at once. Postgres marks frozen customers,
and they are queued again from there when there is room.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from portal_query.projector import metrics
from portal_query.projector.arrived import Arrived
from portal_query.projector.chain import Trouble
from portal_query.projector.lists import WriterAwayError
from portal_query.projector.refold import Outcome, Refolder
from portal_query.read_model import standing
from portal_query.read_model.postgres import Line, is_infrastructure
from service_runtime.backoff import Backoff
from service_runtime.clock import Clock
from service_runtime.logs import get

_WAITING: Final = 10_000
#: Per customer, and in total: these records stay in memory until compared with the stream.
_SUSPECTS: Final = 100
_SUSPECTS_OF_ALL: Final = 10_000
_BUSY_SECONDS: Final = 0.5
_FIRST_RETRY_SECONDS: Final = 60.0
_LAST_RETRY_SECONDS: Final = 3_600.0
_STILL_SECONDS: Final = 5.0
_STILL_AT_ONCE: Final = 1_000
_ROOM_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Request:
    trouble: Trouble
    suspects: Sequence[Arrived] = ()


@dataclass(slots=True)
class _Retry:
    due: float
    wait: float


class Refolds:
    """The rebuild queue. `published` receives the customers with counts to publish."""

    def __init__(
        self,
        published: Callable[[Collection[int]], None],
        ours: Callable[[int], bool],
        clock: Clock,
    ) -> None:
        self._published = published
        self._ours = ours
        self._clock = clock
        self._waiting: dict[int, _Request] = {}
        self._active: set[int] = set()
        self._suspects = 0
        self._retries: dict[int, _Retry] = {}
        self._asked = asyncio.Event()
        self._backoff = Backoff("refold")

    def ask(self, customer: int, trouble: Trouble, suspects: Sequence[Arrived] = ()) -> None:
        """Queue a customer for a rebuild. `suspects` are its events that were not applied.

        The first reason stays, except for a broken invariant. Only that one means that rows are
        wrong although the last event matches, so that a recount is needed. A full queue ignores
        the request, and surplus suspects are ignored too.
        """
        before = self._waiting.get(customer)
        if before is None and len(self._waiting) >= _WAITING:
            return
        known = before.suspects if before else ()
        room = min(_SUSPECTS - len(known), _SUSPECTS_OF_ALL - self._suspects)
        gathered = (*known, *suspects[: max(0, room)])
        self._suspects += len(gathered) - len(known)
        if before is not None and trouble is not Trouble.INVARIANT:
            trouble = before.trouble
        self._waiting[customer] = _Request(trouble, gathered)
        metrics.REFOLDS_WAITING.set(len(self._waiting))
        self._asked.set()

    def waits(self, customer: int) -> bool:
        """Return whether the customer waits or is being rebuilt."""
        return customer in self._waiting or customer in self._active

    async def work(self, refolder: Refolder) -> None:
        """Rebuild one customer after another, without end."""
        while True:
            customer, request = await self._next()
            self._active.add(customer)
            begun = self._clock.monotonic()
            try:
                outcome = await refolder.look_after(
                    customer,
                    suspects=request.suspects,
                    force=request.trouble is Trouble.INVARIANT,
                )
            except Exception as error:
                self.ask(customer, request.trouble, request.suspects)
                if not (isinstance(error, WriterAwayError) or is_infrastructure(error)):
                    raise
                await self._backoff.failed(error)
                continue
            finally:
                self._active.discard(customer)
                self._asked.set()
            self._backoff.worked()
            metrics.REFOLD_SECONDS.observe(self._clock.monotonic() - begun)
            await self._settled(customer, request, outcome)

    async def watch_standing_still(self, line: Line) -> None:
        """Queue the assigned frozen customers again; parked ones only when their retry is due."""
        backoff = Backoff("standing still")
        after = parked = 0
        while True:
            if len(self._waiting) > _WAITING - _STILL_AT_ONCE:
                await asyncio.sleep(_ROOM_SECONDS)
                continue
            try:
                async with line.connection() as connection:
                    still = await standing.standing_still(connection, after, _STILL_AT_ONCE)
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                await backoff.failed(error)
                continue
            backoff.worked()
            ours = [one for one in still if self._ours(one.customer_id)]
            parked += sum(one.parked for one in ours)
            for one in ours:
                if not self.waits(one.customer_id) and self._due(one):
                    self.ask(one.customer_id, Trouble.STANDING_STILL)
            if len(still) == _STILL_AT_ONCE:
                after = still[-1].customer_id
            else:
                metrics.PARKED.set(parked)
                after = parked = 0
                await asyncio.sleep(_STILL_SECONDS)

    async def _next(self) -> tuple[int, _Request]:
        while True:
            self._asked.clear()
            for customer in self._waiting:
                if customer not in self._active:
                    request = self._waiting.pop(customer)
                    self._suspects -= len(request.suspects)
                    metrics.REFOLDS_WAITING.set(len(self._waiting))
                    return customer, request
            await self._asked.wait()

    async def _settled(self, customer: int, request: _Request, outcome: Outcome) -> None:
        metrics.REFOLDS.labels(request.trouble.value, outcome.value).inc()
        if outcome is Outcome.BUSY:
            await asyncio.sleep(_BUSY_SECONDS)
            self.ask(customer, request.trouble, request.suspects)
            return
        if outcome is Outcome.PARKED:
            self._put_off(customer)
            get().error("customer_parked", customer_id=customer, asked_by=request.trouble.value)
        else:
            self._retries.pop(customer, None)
            if outcome is Outcome.AGREES:
                return  # nothing to publish; a publication would cause another comparison
            get().info(
                "customer_refolded",
                customer_id=customer,
                outcome=outcome.value,
                asked_by=request.trouble.value,
            )
        self._published([customer])

    def _due(self, one: standing.Standing) -> bool:
        retry = self._retries.get(one.customer_id)
        return not one.parked or retry is None or retry.due <= self._clock.monotonic()

    def _put_off(self, customer: int) -> None:
        before = self._retries.get(customer)
        wait = min(_LAST_RETRY_SECONDS, before.wait * 2) if before else _FIRST_RETRY_SECONDS
        self._retries[customer] = _Retry(self._clock.monotonic() + wait, wait)
