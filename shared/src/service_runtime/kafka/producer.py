"""Sending: records grouped by partition, acknowledged by all replicas, answered per partition.

Batches of one partition go out strictly one after the other, so that a refusal can never be
overtaken by what follows it; partitions do not wait for each other. A producer that has been
refused a batch has a hole in its sequence numbers and is of no more use: make a new one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from service_runtime.failpoints import fp

#: 256 KiB: one batch per partition and request is in flight, so this bounds the rate per partition.
BATCH_BYTES: Final = 256 * 1024
#: A larger record never leaves the process: far above any event, below the brokers' own limit.
MAX_RECORD_BYTES: Final = 1_000_000
_CLOSE_SECONDS: Final = 3.0


class Record(NamedTuple):
    """Key and value, as bytes."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the records of one partition.

    The first `count` were acknowledged. `error` is None when that is all of them; otherwise it is
    why the next `refused` ones (one batch) were not taken; what follows them was not sent.
    """

    count: int
    error: Exception | None = None
    refused: int = 0


class BatchProducer:
    """An idempotent producer (`acks=all`) that never gives up by itself: the caller sets limits.

    `async with` starts it (KafkaError or TimeoutError when no broker answers) and closes it
    without waiting for what has not been acknowledged.
    """

    def __init__(
        self, bootstrap_servers: str, *, client_id: str, start_seconds: float = 10.0
    ) -> None:
        self._start_seconds = start_seconds
        self._driver: Any = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            linger_ms=0,
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
            metadata_max_age_ms=30_000,
        )

    async def __aenter__(self) -> Self:
        """Connect; raises KafkaError or TimeoutError when that cannot be done in time."""
        try:
            await asyncio.wait_for(self._driver.start(), self._start_seconds)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has; KafkaError when there is no such topic."""
        known: set[int] = await self._driver.partitions_for(topic)
        return len(known)

    async def send(
        self, topic: str, partition: int, records: Sequence[Record], *, singly: bool = False
    ) -> Sent:
        """Send the records in order and wait until Kafka has them all or refuses a batch.

        Waits as long as Kafka is away: cancel it to stop waiting (the records may arrive all the
        same). `singly` sends one record a batch, which shows which one is refused.
        """
        done = 0
        for batch, count in self._batches(records, 1 if singly else len(records)):
            if batch is None:
                return Sent(done, MessageSizeTooLargeError("larger than the producer's limit"), 1)
            try:
                await self._deliver(batch, topic, partition)
            except Exception as error:  # noqa: BLE001 - every kind of refusal is an answer
                return Sent(done, error, count)
            done += count
        return Sent(done)

    async def _deliver(self, batch: Any, topic: str, partition: int) -> None:
        try:
            acknowledged = await self._driver.send_batch(batch, topic, partition=partition)
        except AssertionError as error:  # the driver's way to say that there is no such partition
            raise UnknownTopicOrPartitionError(f"{topic} has no partition {partition}") from error
        fp("relay.mid_send")
        await cast("Awaitable[object]", acknowledged)

    def _batches(self, records: Iterable[Record], limit: int) -> Iterator[tuple[Any, int]]:
        """Yield full batches with their number of records; None for a record that is too large."""
        batch = self._driver.create_batch()
        for record in records:
            if len(record.value) > MAX_RECORD_BYTES:
                if batch.record_count():
                    yield batch, batch.record_count()
                yield None, 1
                return
            if batch.record_count() >= limit or not self._append(batch, record):
                yield batch, batch.record_count()
                batch = self._driver.create_batch()
                self._append(batch, record)
        if batch.record_count():
            yield batch, batch.record_count()

    @staticmethod
    def _append(batch: Any, record: Record) -> bool:
        """Add the record; False when the batch is full (an empty one takes any record)."""
        added = batch.append(timestamp=None, key=record.key, value=record.value)
        return added is not None

    async def close(self) -> None:
        """Close the connections now. What was not acknowledged may or may not have arrived.

        The driver's own `stop` waits until everything is delivered, which is for ever while Kafka
        is away, so its two parts are ended one by one.
        """
        if self._driver._closed:  # noqa: SLF001 - the driver has no public way to be dropped
            return
        self._driver._closed = True  # noqa: SLF001
        for part in (self._driver._sender, self._driver.client):  # noqa: SLF001
            with contextlib.suppress(Exception):
                await asyncio.wait_for(part.close(), _CLOSE_SECONDS)
