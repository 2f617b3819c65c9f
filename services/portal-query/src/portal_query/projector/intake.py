"""The intake: reads records from Kafka ahead of the loop that applies them.

The driver delivers records before it reports an assignment. It swallows exceptions of listeners,
and it stops without notice. None of this does harm, because revisions decide what is applied.
Listeners here only set values. Their only I/O is a commit with a time limit.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from portal_query.projector import metrics
from portal_query.projector.buffer import Buffer
from portal_query.projector.freshness import Freshness
from portal_query.projector.known_topic import KnownTopic, NoTopicError
from portal_query.projector.positions import Positions
from repair_events.topic import partition
from service_runtime.backoff import Backoff
from service_runtime.failpoints import fp
from service_runtime.kafka import (
    CommitFailedError,
    Consumer,
    ConsumerRecord,
    KafkaError,
    RebalanceListener,
    TopicPartition,
    Topics,
    has_stopped_fetching,
    is_infrastructure,
    is_waiting_to_rejoin,
)
from service_runtime.logs import get
from service_runtime.ops import Health
from service_runtime.watchdog import StuckError

_AT_ONCE: Final = 2_000
_POLL_MS: Final = 250
_FEW: Final = 500
_GATHER_SECONDS: Final = 0.003
_FULL: Final = 12_000
_FULL_SECONDS: Final = 5.0
_COMMIT_SECONDS: Final = 1.0
_LAST_COMMIT_SECONDS: Final = 2.0
_LONGEST_COMMIT_SECONDS: Final = 15.0
_LEAVE_SECONDS: Final = 8.0
_END_OFFSETS_SECONDS: Final = 5.0
_POSITION_SECONDS: Final = 0.5
_FACTS_SECONDS: Final = 5.0
#: Twice the group's rebalance timeout: after that the driver never rejoins.
_STUCK_SECONDS: Final = 60.0


class Intake(RebalanceListener):
    """The consumer, the buffer that it fills, and the positions that it tracks."""

    def __init__(
        self,
        make: Callable[[], Consumer],
        make_topics: Callable[[], Topics],
        topic: str,
        group: str,
        *,
        buffer: Buffer,
        positions: Positions,
        freshness: Freshness,
    ) -> None:
        self.topic = topic
        self.joined = False
        self._make = make
        self._known = KnownTopic(make_topics, topic)
        self._buffer = buffer
        self._positions = positions
        self._freshness = freshness
        self._consumer: Consumer | None = None
        self._committed: dict[int, int] = {}
        self._consumed = metrics.CONSUMED.labels(topic, group)

    async def start(self) -> None:
        """Join the group. Wait while Kafka is unavailable, or the topic missing or wrong."""
        backoff = Backoff("join the group")
        while self._consumer is None:
            consumer = self._make()
            try:
                await self._known.check()
                await consumer.start()
            except BaseException as error:
                await consumer.stop()
                if not (is_infrastructure(error) or isinstance(error, NoTopicError)):
                    raise
                await backoff.failed(error)
                continue
            consumer.subscribe([self.topic], listener=self)
            self._consumer = consumer
        backoff.worked()

    async def stop(self) -> None:
        """Commit what has been published and leave the group."""
        if self._consumer is not None:
            await self._commit_bounded()
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._consumer.stop()
            except TimeoutError:
                get().warning("left_without_goodbye")  # the group detects it by itself
        await self._known.close()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Drop records that are not applied yet: the next owner of the partitions reads them."""
        self._buffer.clear()
        if revoked:
            await self._commit_bounded()
        self._positions.forget()
        self._committed = {}
        self._freshness.assigned(())

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start with these partitions. Some of their records may have arrived already."""
        partitions = [one.partition for one in assigned]
        self._positions.keep(partitions)
        self._freshness.assigned(partitions)
        self.joined = True
        metrics.REBALANCES.inc()
        metrics.ASSIGNED.set(len(partitions))
        get().info("assigned", partitions=sorted(partitions))

    async def run(self, health: Health) -> None:
        """Read without end. Pause while the buffer is full, and retry after a KafkaError."""
        backoff = Backoff("read")
        full_since: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            health.beat("intake")
            if self._buffer.size < _FULL:
                full_since = None
                self._go_on()
            else:
                full_since = full_since or loop.time()
                if loop.time() - full_since < _FULL_SECONDS:
                    await self._buffer.change(1.0)
                    continue
                self._hold()
            try:
                await self._read()
            except KafkaError as error:
                await backoff.failed(error)
            else:
                backoff.worked()

    async def commit_each_second(self) -> None:
        """Commit what has been published each second, and after failures up to every 15 s.

        Raises StuckError when the consumer fetches no more, or has not rejoined within 60 s.
        """
        stuck_since: float | None = None
        loop = asyncio.get_running_loop()
        wait = _COMMIT_SECONDS
        while True:
            await asyncio.sleep(wait)
            # The driver logs each partition of a failed commit, so failures lengthen the wait.
            worked = await self._commit_bounded()
            wait = _COMMIT_SECONDS if worked else min(2 * wait, _LONGEST_COMMIT_SECONDS)
            if has_stopped_fetching(self._running):
                raise StuckError("the consumer fetches no more")
            if not is_waiting_to_rejoin(self._running):
                stuck_since = None
                continue
            stuck_since = stuck_since or loop.time()
            if loop.time() - stuck_since > _STUCK_SECONDS:
                raise StuckError("the consumer does not come back into its group")

    async def ends(self) -> dict[int, int]:
        """Return the end offsets of the assigned partitions. A shortened one starts over.

        Without an answer all watermarks stop until the heads have been compared. The broker may
        have lost records, and may have reached the same length again by its next answer. Raises
        KafkaError, OSError or TimeoutError then.
        """
        ours = self._tps()
        if not ours:
            return {}
        try:
            async with asyncio.timeout(_END_OFFSETS_SECONDS):
                found = await self._running.end_offsets(ours)
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            for tp in ours:
                self._freshness.broken(tp.partition)
            if isinstance(error, ValueError):  # the driver's error for a missing partition
                raise TimeoutError(f"no end offsets: {error}") from error
            raise
        ends: dict[int, int] = {}
        for tp, end in found.items():
            read_to = self._positions.read_to(tp.partition)
            if read_to is not None and end < read_to:
                self._broken(tp.partition, "the topic has become shorter")
            else:
                ends[tp.partition] = end
        return ends

    async def settle_idle(self) -> None:
        """Record the consumer's position in partitions with no records in transit."""
        for tp in self._tps():
            try:
                async with asyncio.timeout(_POSITION_SECONDS):
                    at = await self._running.position(tp)
            except (KafkaError, TimeoutError):
                continue
            # No await may come between reading `at` and the next line: `at` must still hold.
            if not self._positions.stands(tp.partition, at):
                self._freshness.broken(tp.partition)

    async def look_for_new_topic(self) -> None:
        """Start over with a topic that was deleted and created again.

        Its offsets may exceed the old ones by now, so only the topic's id reveals it. With the same
        id, everything read until then was of this topic. Raises NoTopicError, TimeoutError, or what
        Kafka raises.
        """
        async with asyncio.timeout(_FACTS_SECONDS):
            anew = await self._known.was_made_anew()
        if anew:
            for tp in self._tps():
                self._broken(tp.partition, "the topic was made anew")
                self._running.seek(tp, 0)

    def owns(self, customer_id: int) -> bool:
        """Return whether the customer's partition is assigned to this process."""
        return self._positions.has(partition(customer_id))

    def behind(self) -> int:
        """Return how many records wait in the buffer and at Kafka, as far as known."""
        waiting = self._buffer.size
        for tp in self._tps():
            end = self._running.highwater(tp)
            read_to = self._positions.read_to(tp.partition)
            if end is not None and read_to is not None:
                waiting += max(0, end - read_to)
        return waiting

    def measure_lag(self) -> None:
        """Set the lag metric: the records of each partition that are not published yet."""
        for tp in self._tps():
            end = self._running.highwater(tp)
            at = self._positions.published_to(tp.partition)
            if end is not None and at is not None:
                metrics.LAG_RECORDS.labels(self.topic, str(tp.partition)).set(max(0, end - at))

    @property
    def _running(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("start the intake first")
        return self._consumer

    def _tps(self) -> list[TopicPartition]:
        ours = set(self._positions.partitions())
        return [tp for tp in self._running.assignment() if tp.partition in ours]

    async def _read(self) -> None:
        fetched = await self._running.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
        for tp, records in fetched.items():
            if records:
                self._take(tp.partition, records)
        # With many records waiting the driver answers at once, and other tasks would get no turn.
        # With few, a pause gathers several in the next fetch. Those already read do not wait.
        few = 0 < sum(map(len, fetched.values())) < _FEW
        await asyncio.sleep(_GATHER_SECONDS if few else 0)

    def _take(self, number: int, records: list[ConsumerRecord]) -> None:
        first, last = records[0].offset, records[-1].offset
        mark, follows = self._positions.read(number, first, last + 1, len(records))
        if not follows:
            self._freshness.broken(number)
            get().warning(
                "offsets_jumped", partition=number, first=first, last=last, records=len(records)
            )
        self._buffer.add(number, records, mark)
        self._consumed.inc(len(records))

    def _broken(self, number: int, why: str) -> None:
        self._positions.begin_anew(number)
        self._freshness.broken(number)
        get().warning("discontinuity", partition=number, why=why)

    def _hold(self) -> None:
        """Pause delivery. Polling goes on, otherwise the group revokes the partitions."""
        metrics.PAUSED.set(1)
        self._running.pause(*(self._running.assignment() - self._running.paused()))

    def _go_on(self) -> None:
        paused = self._running.paused()
        if paused:
            self._running.resume(*paused)
        metrics.PAUSED.set(0)

    async def _commit_bounded(self) -> bool:
        offsets = {
            tp: offset
            for tp in self._tps()
            if (offset := self._positions.published_to(tp.partition)) is not None
            and offset != self._committed.get(tp.partition)
        }
        if not offsets:
            return True
        try:
            async with asyncio.timeout(_LAST_COMMIT_SECONDS):
                fp("projector.before_commit")
                await self._running.commit(offsets)
        except CommitFailedError:
            return True  # the group has rebalanced; the new owner reads a few records again
        except (KafkaError, TimeoutError, OSError) as error:
            get().debug("commit_failed", error=str(error))
            return False
        self._committed |= {tp.partition: offset for tp, offset in offsets.items()}
        return True
