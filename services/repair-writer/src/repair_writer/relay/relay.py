"""The relay as a whole: leadership, a sequence of producers, and measurement in parallel."""

import asyncio
from collections.abc import Awaitable, Callable
from math import nan
from typing import Final

from repair_writer.relay import metrics
from repair_writer.relay.leader import leadership, pause
from repair_writer.relay.loop import Loop, Producer, new_lanes
from repair_writer.relay.opening import UnusableTopicError
from repair_writer.store.outbox import (
    LeaderConnection,
    Pool,
    is_connected,
    is_postgres_error,
    measure_backlog,
)
from service_runtime.backoff import Backoff
from service_runtime.clock import Clock
from service_runtime.kafka import is_infrastructure as is_kafka_away
from service_runtime.ops import Health

_MAX_BACKOFF_SECONDS: Final = 2.0
#: A broker that accepts connections without a response must not block the loop's heartbeat.
_OPEN_SECONDS: Final = 15.0
_MEASURE_SECONDS: Final = 1.0
#: Counting a huge outbox is slow. It may use one fiftieth of one connection's time.
_MEASURE_PAUSE_FACTOR: Final = 50.0
#: Without an acknowledgement for this long, the process is not ready.
_UNREADY_SECONDS: Final = 10.0


class Relay:
    """A relay that sends the outbox of one database to one topic while it leads.

    `open_producer` returns a started producer. It raises UnusableTopicError, or the error of Kafka.
    """

    def __init__(
        self,
        *,
        database_url: str,
        pool: Pool,
        open_producer: Callable[[], Awaitable[Producer]],
        topic: str,
        health: Health,
        clock: Clock,
    ) -> None:
        self._database_url = database_url
        self._pool = pool
        self._open_producer = open_producer
        self._topic = topic
        self._health = health
        self._clock = clock
        self._lanes = new_lanes()
        self._leads = False
        self._faults = {"postgres": "Not connected yet.", "kafka": ""}
        health.register("postgres", self.check_postgres)
        health.register("kafka", self._check_kafka)

    async def run(self, stop: asyncio.Event) -> None:
        """Lead and send until `stop` is set. Retry with backoff while Postgres is unavailable."""
        backoff = Backoff("postgres", longest=_MAX_BACKOFF_SECONDS)
        while not stop.is_set():
            try:
                async with leadership(self._database_url, stop, self._alive) as reader:
                    backoff.worked()
                    if reader is not None:
                        await self._relay(reader, stop)
            except Exception as error:
                if not is_postgres_error(error):
                    raise
                self._fault("postgres", error)
                await pause(stop, backoff.next_delay(error))
            finally:
                self._leads = False
                self._faults["kafka"] = ""  # a waiting relay does not use Kafka

    async def _relay(self, reader: LeaderConnection, stop: asyncio.Event) -> None:
        """Run one producer after another while this relay leads.

        Raises the errors of Postgres. While Kafka is unavailable, retries with backoff.
        """
        self._leads = True
        backoff = Backoff("kafka", longest=_MAX_BACKOFF_SECONDS)
        while not stop.is_set():
            self._alive()
            await is_connected(reader)
            try:
                producer = await asyncio.wait_for(self._open_producer(), _OPEN_SECONDS)
            except Exception as error:
                if not (isinstance(error, UnusableTopicError) or is_kafka_away(error)):
                    raise
                self._fault("kafka", error)
                await pause(stop, backoff.next_delay(error))
                continue
            backoff.worked()
            self._faults["kafka"] = ""
            try:
                await Loop(
                    reader,
                    self._pool,
                    producer=producer,
                    topic=self._topic,
                    lanes=self._lanes,
                    clock=self._clock,
                ).run(stop, self._alive)
            finally:
                await producer.close()

    async def measure(self) -> None:
        """Measure the backlog each second, without end.

        The pause grows when a measurement takes long.
        """
        while True:
            began = self._clock.monotonic()
            if self._leads:
                try:
                    backlog = await measure_backlog(self._pool)
                except Exception as error:
                    if not is_postgres_error(error):
                        raise
                else:
                    metrics.PENDING.set(backlog.pending)
                    metrics.OLDEST_AGE.set(backlog.oldest_seconds)
                    metrics.REFUSED.set(backlog.refused)
            else:  # only the leader's values are current
                metrics.PENDING.set(nan)
                metrics.OLDEST_AGE.set(nan)
                metrics.REFUSED.set(nan)
            took = self._clock.monotonic() - began
            await asyncio.sleep(max(_MEASURE_SECONDS, took * _MEASURE_PAUSE_FACTOR))

    def _alive(self) -> None:
        """Record that Postgres responds and the loop runs."""
        self._faults["postgres"] = ""
        self._health.beat("relay")

    def _fault(self, part: str, error: Exception) -> None:
        self._health.beat("relay")
        self._faults[part] = str(error) or repr(error)
        metrics.FAILURES.labels(part).inc()

    async def check_postgres(self) -> None:
        """Raise ConnectionError while the relay's own statements fail."""
        if self._faults["postgres"]:
            raise ConnectionError(self._faults["postgres"])

    async def _check_kafka(self) -> None:
        """Raise ConnectionError while Kafka is unavailable.

        A waiting relay does not use Kafka, so the check passes.
        """
        if self._faults["kafka"]:
            raise ConnectionError(self._faults["kafka"])
        waited = self._lanes.longest(self._clock.monotonic())
        if waited > _UNREADY_SECONDS:
            raise ConnectionError(f"Kafka has acknowledged nothing for {waited:.0f} s.")
