"""Kafka in memory: one topic, its consumer group, consumers and producers."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self

from aiokafka.errors import MessageSizeTooLargeError
from tests.laws.world.calls import Calls, Process

from repair_events.topic import PARTITIONS, TOPIC
from service_runtime.kafka import (
    CommitFailedError,
    KafkaError,
    RebalanceListener,
    Record,
    Sent,
    TopicFacts,
    TopicPartition,
)

_POLL_SECONDS: Final = 0.25
#: So few that a poll rarely returns everything.
_AT_ONCE: Final = 5


@dataclass(eq=False)
class Stored:
    """A record as stored in its partition."""

    value: bytes | None
    key: bytes | None
    offset: int
    partition: int
    topic: str = TOPIC
    timestamp: int = 0
    given: bool = False


@dataclass
class Partition:
    """Records by ascending offset, possibly with gaps, and the next offset."""

    records: list[Stored] = field(default_factory=list)
    end: int = 0


class Topic:
    """The topic. `number` changes each time it is recreated."""

    def __init__(self) -> None:
        self.number = 0
        self.partitions = [Partition() for _ in range(PARTITIONS)]
        self.too_large: set[bytes] = set()
        #: All records ever appended.
        self.seen: set[bytes] = set()

    def append(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Append a record."""
        one = self.partitions[partition]
        one.records.append(Stored(value, key, one.end, partition))
        one.end += 1
        if value is not None:
            self.seen.add(value)

    def make_anew(self) -> None:
        """Delete the topic with all records, and recreate it."""
        self.number += 1
        self.partitions = [Partition() for _ in range(PARTITIONS)]

    def after(self, partition: int, offset: int) -> list[Stored]:
        """Return the records from an offset on."""
        return [one for one in self.partitions[partition].records if one.offset >= offset]


class Group:
    """The consumer group: its assignments and committed offsets."""

    def __init__(self, run: Callable[[Process, Any], Any]) -> None:
        self._run = run
        self.offsets: dict[int, int] = {}
        self.generation = 0
        self.members: list[MemoryConsumer] = []
        #: Called for each record that its consumer has received and then committed.
        self.done: Callable[[Stored], None] = lambda _: None

    def join(self, member: "MemoryConsumer") -> None:
        """Join the group."""
        self.members.append(member)
        self.rebalance()

    def leave(self, member: "MemoryConsumer") -> None:
        """Leave the group."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def rebalance(self) -> None:
        """Reassign the partitions among responding members; leave out the others."""
        self.members = [one for one in self.members if one.process.alive]
        answering = [one for one in self.members if not one.process.halted]
        self.generation += 1
        for number, member in enumerate(answering):
            share = frozenset(range(number, PARTITIONS, len(answering)))
            self._run(member.process, member.assign_share(share, self.generation))

    def come_back(self, process: Process) -> None:
        """Let a member that was left out join again."""
        if any(one.process is process for one in self.members):
            self.rebalance()


class MemoryConsumer:
    """Stand-in for a consumer of the driver."""

    def __init__(
        self, calls: Calls, process: Process, topic: Topic, group: Group, seconds: Callable[[], float]
    ) -> None:  # fmt: skip
        self.process = process
        self._calls = calls
        self._topic = topic
        self._group = group
        self._seconds = seconds
        self._listener: RebalanceListener | None = None
        self._generation = -1
        self._assigned: frozenset[int] = frozenset()
        self._at: dict[int, int] = {}
        self._highwater: dict[int, int] = {}
        self._paused: set[int] = set()
        self._given: list[Stored] = []
        self._assigning = asyncio.Lock()
        #: The driver's, which signals that a consumer must join again.
        self._coordinator = None

    async def start(self) -> None:
        await self._ask("join", lambda: None)

    async def stop(self) -> None:
        await self._calls.ask(self.process, "leave", lambda: self._group.leave(self))

    def subscribe(
        self, topics: Collection[str], *, listener: RebalanceListener | None = None
    ) -> None:
        assert list(topics) == [TOPIC]
        self._listener = listener
        self._group.join(self)

    async def assign_share(self, share: frozenset[int], generation: int) -> None:
        """Release all partitions, then take a share: the driver delivers before it reports this."""
        async with self._assigning:  # one after the other, as in the driver
            assert self._listener is not None
            await self._listener.on_partitions_revoked(self.assignment())
            if generation != self._group.generation:
                return
            self._generation, self._assigned = generation, share
            self._at = {one: self._group.offsets.get(one, 0) for one in share}
            self._highwater, self._paused, self._given = {}, set(), []
            await self._calls.ask(self.process, f"{self.process.name} kafka assigned", lambda: None)
            if generation == self._generation:
                await self._listener.on_partitions_assigned(self.assignment())

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(map(_tp, self._assigned))

    async def getmany(
        self, *_: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Stored]]:
        assert max_records is None or max_records >= _AT_ONCE
        until = self._seconds() + min(_POLL_SECONDS, timeout_ms / 1000)
        # The driver raises only when it has nothing to return, so no record is lost.
        return await self._calls.ask(
            self.process,
            f"{self.process.name} kafka getmany",
            self._fetch,
            error=lambda: KafkaError("away"),
            ready=lambda: self._seconds() >= until or self._has_records(),
            undone=True,
        )

    def _has_records(self) -> bool:
        return any(
            self._topic.partitions[one].end != self._at.get(one, 0)
            for one in self._assigned - self._paused
        )

    def _fetch(self) -> dict[TopicPartition, list[Stored]]:
        found: dict[TopicPartition, list[Stored]] = {}
        for one in sorted(self._assigned - self._paused):
            end = self._topic.partitions[one].end
            if self._at[one] > end:
                self._at[one] = 0  # out of range: from the beginning, as the driver is configured
            self._highwater[one] = end
            records = self._topic.after(one, self._at[one])[:_AT_ONCE]
            if records:
                found[_tp(one)] = records
                self._given += records
                for record in records:
                    record.given = True
                self._at[one] = records[-1].offset + 1
            else:
                self._at[one] = end
        return found

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= {one.partition for one in partitions}

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= {one.partition for one in partitions}

    def paused(self) -> set[TopicPartition]:
        return set(map(_tp, self._paused))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._at[partition.partition] = offset
        self._given = [one for one in self._given if one.partition != partition.partition]

    def seek_all(self, *, to_end: bool) -> None:
        """Move to another position, as an operator who resets offsets does."""
        for one in self._assigned:
            self._at[one] = self._topic.partitions[one].end if to_end else 0
        self._given = []

    async def position(self, partition: TopicPartition) -> int:
        return self._at[partition.partition]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        mine = {one.partition: offset for one, offset in offsets.items()}
        generation = self._generation
        for one in self._given:
            if one.offset < mine.get(one.partition, 0):
                self._group.done(one)
        self._given = [one for one in self._given if one.offset >= mine.get(one.partition, 0)]

        def commit() -> None:
            if generation != self._group.generation:
                raise CommitFailedError
            self._group.offsets |= mine

        await self._ask("commit offsets", commit, late=True)

    async def end_offsets(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        asked = list(partitions)
        found: dict[TopicPartition, int] = await self._ask(
            "end offsets", lambda: {one: self._topic.partitions[one.partition].end for one in asked}
        )
        return found

    def highwater(self, partition: TopicPartition) -> int | None:
        return self._highwater.get(partition.partition)

    async def _ask(
        self,
        name: str,
        do: Callable[[], Any],
        *,
        late: bool = False,
    ) -> Any:
        return await self._calls.ask(
            self.process,
            f"{self.process.name} kafka {name}",
            do,
            error=lambda: KafkaError(f"away in {name}"),
            late=late,
        )


class MemoryTopics:
    """Stand-in for `service_runtime.kafka.Topics`."""

    def __init__(self, calls: Calls, process: Process, topic: Topic) -> None:
        self._calls = calls
        self._process = process
        self._topic = topic

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def facts(self, name: str) -> TopicFacts:
        return await self._calls.ask(
            self._process,
            f"{self._process.name} kafka facts",
            lambda: TopicFacts(name, str(self._topic.number), PARTITIONS, 1),
            error=lambda: KafkaError("away"),
        )


class MemoryProducer:
    """Stand-in for a `BatchProducer`."""

    def __init__(self, calls: Calls, process: Process, topic: Topic) -> None:
        self._calls = calls
        self._process = process
        self._topic = topic
        self._closed = False

    async def send(
        self, topic: str, partition: int, records: Sequence[Record], *, singly: bool = False
    ) -> Sent:
        """Append and acknowledge; a failed send may have been appended, wholly or in part."""
        assert topic == TOPIC
        done = 0
        while done < len(records):
            batch = records[done : done + (1 if singly else 3)]
            try:
                await self._calls.ask(
                    self._process,
                    f"{self._process.name} kafka send to {partition}: {_names(batch)}",
                    partial(self._append, partition, batch),
                    error=lambda: KafkaError("refused"),
                    late=True,
                )
            except Exception as error:  # noqa: BLE001 - every kind of refusal is an answer
                return Sent(done, error, len(batch))
            done += len(batch)
        return Sent(done)

    def _append(self, partition: int, batch: Sequence[Record]) -> None:
        if any(one.value in self._topic.too_large for one in batch):
            raise MessageSizeTooLargeError("too large")
        for one in batch:
            self._topic.append(partition, one.key, one.value)

    async def close(self) -> None:
        self._closed = True


def _names(batch: Sequence[Record]) -> str:
    """Return customer and revision of each event, for the trace."""
    found = (json.loads(one.value)["data"] for one in batch)
    return ", ".join(f"{one['customer_id']}.{one['revision']}" for one in found)


def _tp(partition: int) -> TopicPartition:
    return TopicPartition(TOPIC, partition)
