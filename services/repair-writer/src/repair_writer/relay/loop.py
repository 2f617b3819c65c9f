"""The send loop: read the oldest rows, send them by partition, delete the acknowledged rows.

The delete of one round runs in parallel with the next read, which excludes those rows by id.
Any rejection makes the producer unusable, because its sequence numbers then have a gap.
The loop then ends, and a new one starts with a new producer.
Unacknowledged rows are still in the outbox, so none is lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from repair_events import topic as language
from repair_writer.relay import metrics
from repair_writer.relay.lanes import Lanes
from repair_writer.relay.leader import pause
from repair_writer.store.outbox import (
    LeaderConnection,
    OutboxRow,
    Pool,
    delete_sent,
    select_unsent,
    set_aside,
)
from service_runtime.clock import Clock
from service_runtime.failpoints import fp
from service_runtime.kafka import Record, Sent, is_too_large
from service_runtime.logs import get

ROWS_AT_ONCE: Final = 5_000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
BUSY_SECONDS: Final = 0.002
IDLE_SECONDS: Final = 0.010
#: A round waits this long for its sends. A slower partition continues during the next rounds.
PATIENCE_SECONDS: Final = 0.1
#: Without an acknowledgement for this long, the producer is replaced.
STUCK_SECONDS: Final = 30.0
_LAST_ACKS_SECONDS: Final = 5.0
_REMEMBERED_CUSTOMERS: Final = 65_536


@lru_cache(maxsize=_REMEMBERED_CUSTOMERS)
def lane_of(customer_id: int) -> tuple[int, bytes]:
    """Return the partition and the record key of a customer."""
    return language.partition(customer_id), language.key(customer_id)


def new_lanes() -> Lanes:
    """Return the lanes of the topic, all open."""
    return Lanes(language.PARTITIONS, lambda customer_id: lane_of(customer_id)[0])


class Producer(Protocol):
    """The interface of a producer that the loop uses (`service_runtime.kafka.BatchProducer`)."""

    async def send(
        self, topic: str, partition: int, records: Sequence[Record], *, singly: bool = False
    ) -> Sent:
        """Send the records in order. Return when Kafka has acknowledged all or rejected some."""
        ...

    async def close(self) -> None:
        """Close at once. Unacknowledged records may or may not have arrived."""


class Loop:
    """Rounds with one producer, until a batch is rejected or the process stops.

    Sends that are unfinished after a round (a partition without a leader) continue during the next.
    """

    def __init__(
        self,
        reader: LeaderConnection,
        pool: Pool,
        *,
        producer: Producer,
        topic: str,
        lanes: Lanes,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._pool = pool
        self._producer = producer
        self._topic = topic
        self._lanes = lanes
        self._clock = clock
        self._sending: dict[asyncio.Task[Sent], int] = {}
        self._deleting: list[int] = []
        self._delete: asyncio.Task[None] | None = None
        self._spoiled = False

    async def run(self, stop: asyncio.Event, alive: Callable[[], None]) -> None:
        """Send rows until `stop` is set or the producer is unusable.

        Calls `alive` in each round. Raises the errors of Postgres.
        Rejections by Kafka are recorded in the lanes.
        """
        try:
            while not stop.is_set() and not self._spoiled:
                alive()
                rest = await self._round()
                if rest and await pause(stop, rest):
                    break
        finally:
            await self._finish()

    async def _round(self) -> float:
        """Read, send and settle once. Return the seconds to wait before the next round."""
        if self._delete is not None and self._delete.done():
            # A failed delete is handled now: otherwise its rows would wait for the next event.
            await self._delete_done()
        now = self._clock.monotonic()
        rows = await select_unsent(
            self._reader,
            without_ids=[*self._deleting, *self._lanes.under_way()],
            without_customers=self._lanes.passed_by(now),
            limit=ROWS_AT_ONCE,
            max_bytes=BYTES_AT_ONCE,
        )
        started = [
            self._start(partition, group, now)
            for partition, group in self._lanes.sort(rows, now).items()
        ]
        if started:
            await asyncio.wait(started, timeout=PATIENCE_SECONDS)
        await self._settle()
        if self._lanes.longest(self._clock.monotonic()) > STUCK_SECONDS:
            metrics.FAILURES.labels("stuck").inc()
            get().error("relay_producer_stuck", seconds=STUCK_SECONDS)
            self._spoiled = True
        if len(rows) == ROWS_AT_ONCE:
            return 0.0
        return BUSY_SECONDS if rows else IDLE_SECONDS

    def _start(self, partition: int, rows: list[OutboxRow], now: float) -> asyncio.Task[Sent]:
        lane = self._lanes[partition]
        lane.start(rows, now)
        records = [Record(lane_of(row.customer_id)[1], row.payload) for row in rows]
        task = asyncio.create_task(
            self._producer.send(self._topic, partition, records, singly=lane.singly)
        )
        self._sending[task] = partition
        return task

    async def _settle(self) -> None:
        """Process the responses of Kafka, and start the delete of acknowledged rows."""
        arrived: list[int] = []
        for task in [task for task in self._sending if task.done()]:
            lane = self._lanes[self._sending.pop(task)]
            rows = lane.under_way
            lane.empty()  # first: the lane outlives this loop, for any result of its task
            if task.cancelled():
                self._spoiled = True
                continue
            sent = task.result()
            arrived += [row.id for row in rows[: sent.count]]
            if sent.error is None:
                lane.succeed()
            else:
                await self._refused(lane.partition, rows[sent.count].id, sent)
        if arrived:
            fp("relay.before_mark")
            metrics.SENT.inc(len(arrived))
            await self._delete_done()
            self._deleting = arrived
            self._delete = asyncio.create_task(delete_sent(self._pool, arrived))

    async def _refused(self, partition: int, row_id: int, sent: Sent) -> None:
        """Handle a rejection.

        A single too large row becomes a dead letter. A too large batch is sent again one by one.
        For any other error, the partition waits for its backoff.
        """
        self._spoiled = True
        lane, reason = self._lanes[partition], type(sent.error).__name__
        metrics.FAILURES.labels(reason).inc()
        if not is_too_large(sent.error):
            seconds = lane.fail(self._clock.monotonic())
            get().error(
                "relay_partition_held_back",
                partition=partition,
                reason=str(sent.error),
                error=reason,
                seconds=seconds,
            )
        elif sent.refused > 1:
            lane.singly = True
        else:
            event_id = await set_aside(self._pool, row_id, f"{reason}: {sent.error}")
            get().error("relay_event_set_aside", event_id=event_id, row=row_id, reason=reason)

    async def _delete_done(self) -> None:
        """Wait for the running delete. Raises the error of Postgres.

        A cancelled delete removed no row: its rows are read and sent again.
        """
        if self._delete is not None:
            await asyncio.wait([self._delete])
            delete, self._delete, self._deleting = self._delete, None, []
            if not delete.cancelled():
                delete.result()

    async def _finish(self) -> None:
        """Wait up to five seconds for rows in flight and delete the acknowledged ones.

        The other rows stay in the outbox and are sent again.
        """
        try:
            if self._sending and not self._spoiled:
                await asyncio.wait(self._sending, timeout=_LAST_ACKS_SECONDS)
            await self._settle()
            await self._delete_done()
        finally:
            for partition in self._sending.values():
                self._lanes[partition].empty()
            rest = [*self._sending, *([self._delete] if self._delete else [])]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
