"""Consumers with measured settings.

`fetch_max_wait_ms=20`: a paused or moved partition waits for the running long poll, up to 300 ms
at the default of 500. `auto_offset_reset="earliest"`: reconciliation finds events that retention
deleted. `rebalance_timeout_ms`: time to finish a batch when partitions are revoked.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

if TYPE_CHECKING:

    class TopicPartition(NamedTuple):
        """Partition of a topic."""

        topic: str
        partition: int

    class _DriverListener:
        pass
else:
    from aiokafka import ConsumerRebalanceListener as _DriverListener
    from aiokafka import TopicPartition


class ConsumerRecord(Protocol):
    """One record of a topic; `timestamp` is in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class RebalanceListener(_DriverListener):
    """Callbacks for revoked and assigned partitions; subclass it.

    The driver delivers records before `on_partitions_assigned` has finished, and it discards the
    exceptions of that method: begin it with a synchronous `pause` and never raise.
    `stop()` calls no listener: drain first.
    """

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish the work on these partitions; each rebalance revokes all partitions."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start consuming these partitions."""


class Consumer(Protocol):
    """The used part of the driver's consumer. Every offset is that of the next record."""

    async def start(self) -> None:
        """Connect; raises KafkaError when no broker responds."""

    async def stop(self) -> None:
        """Leave the group and close, without a call of the listener."""

    def subscribe(
        self, topics: Collection[str], *, listener: RebalanceListener | None = None
    ) -> None:
        """Join the group for these topics."""

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read exactly these partitions, outside any group."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that are assigned to this consumer."""
        ...

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return buffered records by partition; never wrap it in `wait_for`, which can drop a batch."""
        ...

    def pause(self, *partitions: TopicPartition) -> None:
        """Pause delivery from these; continue to poll, or the group revokes them."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Resume delivery from these."""

    def paused(self) -> set[TopicPartition]:
        """Return the paused partitions."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at this offset."""

    async def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record to deliver."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets of the group; raises CommitFailedError after a rebalance."""

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the offset of each partition's next record."""
        ...

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first stored offset of each partition."""
        ...

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end offset of the last fetch, None before the first."""
        ...


def create_consumer(
    bootstrap_servers: str,
    *,
    client_id: str,
    group: str | None = None,
    fetch_max_bytes: int = 16 * 1024 * 1024,
    max_partition_fetch_bytes: int = 2 * 1024 * 1024,
) -> Consumer:
    """Return a consumer of bytes, not started; without a group it can only `assign`.

    The caller commits offsets, starts it (KafkaError when no broker responds) and stops it.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id=client_id,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
        fetch_min_bytes=1,
        fetch_max_bytes=fetch_max_bytes,
        max_partition_fetch_bytes=max_partition_fetch_bytes,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        rebalance_timeout_ms=30_000,
        max_poll_interval_ms=300_000,
        metadata_max_age_ms=30_000,
        request_timeout_ms=15_000,
        partition_assignment_strategy=(StickyPartitionAssignor,),
    )
    return cast("Consumer", consumer)


def is_waiting_to_rejoin(consumer: Consumer) -> bool:
    """Return whether the consumer has to rejoin its group and has not done so.

    After a restart of brokers the driver may stay in this state without limit, and it has no public
    health signal. A process in it for longer than twice the rebalance timeout should exit.
    """
    coordinator = cast("Any", consumer)._coordinator  # noqa: SLF001 - no public health signal
    rejoin = getattr(coordinator, "_rejoin_needed_fut", None)
    return rejoin is not None and bool(rejoin.done())


def has_stopped_fetching(consumer: Consumer) -> bool:
    """Return whether the driver's fetch task has ended: the consumer will read nothing again.

    Any unexpected error ends the task. Heartbeats continue, so the group revokes no partition.
    There is no public health signal: a process in this state should exit.
    """
    fetcher = getattr(consumer, "_fetcher", None)
    task = getattr(fetcher, "_fetch_task", None)
    return task is not None and bool(task.done())
