"""Producer: records grouped by partition, acknowledged by all replicas, one result a partition.

Batches of one partition are sent strictly one after the other, so later records never overtake a
rejected batch. Partitions are independent of each other. A rejected batch leaves a gap in the
producer's sequence numbers: create a new producer after it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from service_runtime.failpoints import fp

#: 256 KiB. One batch per partition is in flight, so this bounds the rate of a partition.
BATCH_BYTES: Final = 256 * 1024
#: Limit of a record that is sent: far above any event, below the brokers' own limit.
MAX_RECORD_BYTES: Final = 1_000_000
_CLOSE_SECONDS: Final = 3.0


class Record(NamedTuple):
    """Key and value of a record, as bytes."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Result of sending the records of one partition.

    Kafka acknowledged the first `count` records. `error` is None if these are all. Otherwise it is
    the reason why the next `refused` records (one batch) failed; later records were not sent.
    """

    count: int
    error: Exception | None = None
    refused: int = 0


class BatchProducer:
    """Idempotent producer (`acks=all`) that retries without limit: the caller sets deadlines.

    `async with` starts it (KafkaError or TimeoutError when no broker responds). At the end it closes
    without waiting for acknowledgements.
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
        """Connect within `start_seconds`; raises KafkaError or TimeoutError."""
        try:
            await asyncio.wait_for(self._driver.start(), self._start_seconds)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of the topic; raises KafkaError if it does not exist."""
        known: set[int] = await self._driver.partitions_for(topic)
        return len(known)

    async def send(
        self, topic: str, partition: int, records: Sequence[Record], *, singly: bool = False
    ) -> Sent:
        """Send the records in order; wait until Kafka acknowledges all or rejects a batch.

        The call waits while Kafka is unavailable. Cancel it to stop; the records may still arrive.
        `singly` sends one record a batch, which identifies a rejected record.
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
        except AssertionError as error:  # the driver's error for an unknown partition
            raise UnknownTopicOrPartitionError(f"{topic} has no partition {partition}") from error
        fp("relay.mid_send")
        await cast("Awaitable[object]", acknowledged)

    def _batches(self, records: Iterable[Record], limit: int) -> Iterator[tuple[Any, int]]:
        """Yield (batch, number of records); the batch is None for a record above the limit."""
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
        """Add the record; return False if the batch is full (an empty one accepts any record)."""
        added = batch.append(timestamp=None, key=record.key, value=record.value)
        return added is not None

    async def close(self) -> None:
        """Close the connections now. Unacknowledged records may or may not have arrived.

        The driver's own `stop` waits for delivery, without limit while Kafka is unavailable. So its
        two parts are closed one by one.
        """
        if self._driver._closed:  # noqa: SLF001 - the driver has no public way to be dropped
            return
        self._driver._closed = True  # noqa: SLF001
        for part in (self._driver._sender, self._driver.client):  # noqa: SLF001
            with contextlib.suppress(Exception):
                await asyncio.wait_for(part.close(), _CLOSE_SECONDS)
