"""The apply loop: takes, prepares and applies batches. Two are in progress at a time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from portal_query.projector import metrics
from portal_query.projector.apply import Applier, Outcome
from portal_query.projector.batch import Batch, prepare
from portal_query.projector.buffer import Buffer
from portal_query.projector.intake import Intake
from portal_query.projector.pace import Pace
from portal_query.projector.positions import Positions
from portal_query.projector.publish import Publisher
from portal_query.projector.refolds import Refolds
from repair_events.month import Months
from service_runtime.clock import Clock
from service_runtime.logs import get
from service_runtime.ops import Health

_IDLE_SECONDS: Final = 1.0
_SUMMARY_SECONDS: Final = 30.0


class Loop:
    """The loop that takes records from the buffer and applies them, batch after batch."""

    def __init__(
        self,
        *,
        buffer: Buffer,
        intake: Intake,
        applier: Applier,
        publisher: Publisher,
        refolds: Refolds,
        positions: Positions,
        months: Months,
        clock: Clock,
    ) -> None:
        self._buffer = buffer
        self._intake = intake
        self._applier = applier
        self._publisher = publisher
        self._refolds = refolds
        self._positions = positions
        self._months = months
        self._clock = clock
        self._pace = Pace()
        self._applying = False
        self._records = 0
        self._batches = 0
        self._said = clock.monotonic()

    async def run(self, health: Health) -> None:
        """Apply batches without end."""
        coming = asyncio.create_task(self._gather(health))
        try:
            while True:
                batch = await coming
                self._applying = True
                coming = asyncio.create_task(self._gather(health))
                await self._apply(batch, health)
                self._applying = False
                self._buffer.say()
        finally:
            coming.cancel()
            await asyncio.wait([coming])

    async def _gather(self, health: Health) -> Batch:
        """Return the next batch: all waiting records, or a full batch while another is applied."""
        while True:
            health.beat("apply")
            limit = self._pace.limit(self._intake.behind())
            if self._buffer.size >= limit or (self._buffer.size and not self._applying):
                records, marks = self._buffer.take(limit)
                return prepare(records, marks, self._months)
            await self._buffer.change(_IDLE_SECONDS)

    async def _apply(self, batch: Batch, health: Health) -> None:
        begun = self._clock.monotonic()
        outcome = await _beating(self._applier.apply(batch), health)
        seconds = self._clock.monotonic() - begun
        self._pace.observe(batch.records, seconds)
        metrics.BATCH_RECORDS.observe(batch.records)
        metrics.BATCH_SECONDS.observe(seconds)
        self._positions.applied(batch.marks)
        self._publisher.applied(outcome.touched, batch.marks)
        for customer, trouble in outcome.troubles.items():
            self._refolds.ask(customer, trouble, outcome.suspects.get(customer, ()))
        self._say(batch, seconds)

    def _say(self, batch: Batch, seconds: float) -> None:
        get().debug(
            "batch",
            records=batch.records,
            customers=len(batch.parts),
            milliseconds=round(seconds * 1000, 1),
            offsets={p: mark.offset for p, mark in batch.marks.items()},
        )
        self._records += batch.records
        self._batches += 1
        now = self._clock.monotonic()
        if now - self._said >= _SUMMARY_SECONDS:
            get().info("applied", records=self._records, batches=self._batches)
            self._records = self._batches = 0
            self._said = now


async def _beating(work: Coroutine[Any, Any, Outcome], health: Health) -> Outcome:
    """Wait for `work` and send heartbeats: it may last as long as Postgres is unavailable."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            health.beat("apply")
            await asyncio.wait({task}, timeout=_IDLE_SECONDS)
        return task.result()
    finally:
        task.cancel()
        # The connection is closed after this, so the task must have ended.
        await asyncio.wait([task])
