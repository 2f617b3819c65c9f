"""Consumers, built with the settings that were measured to be right.

`fetch_max_wait_ms=20`: a partition that was paused or moved waits for the running long poll, up
to 300 ms at the default of 500. `auto_offset_reset="earliest"`: what retention took is found by
comparing heads. `rebalance_timeout_ms`: time to finish a batch when partitions are taken away.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

if TYPE_CHECKING:

    class TopicPartition(NamedTuple):
        """A partition of a topic."""

        topic: str
        partition: int

    class _DriverListener:
        pass
else:
    from aiokafka import ConsumerRebalanceListener as _DriverListener
    from aiokafka import TopicPartition


class ConsumerRecord(Protocol):
    """One record as it lies on the topic; `timestamp` in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class RebalanceListener(_DriverListener):
    """Told when partitions come and go; subclass it.

    The driver delivers records before `on_partitions_assigned` has finished and swallows what it
    raises: begin it with a synchronous `pause` and never raise. `stop()` tells nobody: drain first.
    """

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is under way on these partitions; everything is revoked at each change."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin with these partitions."""


class Consumer(Protocol):
    """The part of the driver's consumer that we use. All offsets are of the next record."""

    async def start(self) -> None:
        """Connect; KafkaError when no broker answers."""

    async def stop(self) -> None:
        """Leave the group and close; tells no listener."""

    def subscribe(
        self, topics: Collection[str], *, listener: RebalanceListener | None = None
    ) -> None:
        """Take part in the group for these topics."""

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        """Read exactly these partitions, outside any group."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that are ours now."""
        ...

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return what is buffered; never wrap it in `wait_for`, which can drop a batch."""
        ...

    def pause(self, *partitions: TopicPartition) -> None:
        """Deliver nothing of these; go on polling, or the group takes them away."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Deliver from these again."""

    def paused(self) -> set[TopicPartition]:
        """Return the partitions that are paused."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""

    async def position(self, partition: TopicPartition) -> int:
        """Return the offset that is delivered next."""
        ...

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the group's offset, None when it has none."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store offsets for the group; CommitFailedError when it has moved on."""

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the offset that each partition's next record will get."""
        ...

    async def beginning_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset that each partition still keeps."""
        ...

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end offset as the last fetch saw it."""
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

    Offsets are committed by hand. The caller starts it (KafkaError when no broker answers) and
    stops it.
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
    """Say whether the consumer has been told to join its group again and has not done so.

    After a restart of brokers the driver may stay so for ever and has no public sign of it: a
    process that sees this for longer than twice the rebalance timeout should end itself.
    """
    coordinator = cast("Any", consumer)._coordinator  # noqa: SLF001 - no public health signal
    rejoin = getattr(coordinator, "_rejoin_needed_fut", None)
    return rejoin is not None and bool(rejoin.done())


def has_stopped_fetching(consumer: Consumer) -> bool:
    """Say whether the driver's task that fetches has ended: nothing will ever be read again.

    It ends of whatever the driver did not expect; heartbeats go on, so the group takes no partition
    away. There is no public sign of it: a process that sees this should end itself.
    """
    fetcher = getattr(consumer, "_fetcher", None)
    task = getattr(fetcher, "_fetch_task", None)
    return task is not None and bool(task.done())
