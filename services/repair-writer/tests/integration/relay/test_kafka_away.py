"""Outage of Kafka: the outbox grows, readiness names the reason, and nothing is lost."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from deploy.local import borrowed, credentials, kafka, ports, probe

from repair_events.topic import PARTITIONS
from service_runtime.kafka import Topics, TopicSettings
from service_runtime.testing import eventually


@dataclass
class OwnKafka:
    """A broker of this test's own, which may be stopped."""

    bootstrap_servers: str
    run: Callable[[], Any]


@pytest.fixture
def own_kafka() -> Iterator[OwnKafka]:
    chosen = ports.choose({"kafka": 0, "kafka_controller": 0})
    cluster = credentials.cluster_id()
    with borrowed.temporary_place() as place:
        broker = kafka.Broker(place)
        broker.fetch()
        broker.create(chosen, cluster)
        spec = replace(broker.spec(chosen, cluster), name="kafka-that-stops")

        @contextmanager
        def run() -> Iterator[None]:
            with borrowed.foreground(spec, place, lambda: probe.kafka(chosen["kafka"])):
                yield

        yield OwnKafka(f"{ports.HOST}:{chosen['kafka']}", run)


@pytest.fixture
def settings(settings: Any, own_kafka: OwnKafka) -> Any:
    """Return the relay's settings with the broker that may be stopped."""
    return settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap_servers})


async def test_kafka_away_at_the_start_and_again_later_loses_nothing(
    outbox: Any,
    topic: str,
    own_kafka: OwnKafka,
    start_process: Callable[[], Awaitable[Any]],
    reader: Any,
) -> None:
    accepted = await outbox.accept_many(range(1, 101))
    process = await start_process()

    async def ready() -> bool:
        return bool((await process.get("/readyz"))[0] == 200)

    async def unready_for_kafka() -> bool:
        status, body = await process.get("/readyz")
        return bool(status == 503 and "kafka: " in body)

    async def backlog_is_shown() -> bool:
        pending = await process.metric("repair_outbox_pending_records")
        age = await process.metric("repair_outbox_oldest_age_seconds")
        return bool(pending == await outbox.pending() > 0 and age > 0)

    await eventually(unready_for_kafka, "it says that Kafka is away")
    await eventually(backlog_is_shown, "the metrics show the backlog")

    with ExitStack() as first_life:
        first_life.enter_context(own_kafka.run())

        async def says_what_is_missing() -> bool:
            return "repair-writer topic" in (await process.get("/readyz"))[1]

        await eventually(says_what_is_missing, "it says how to make the topic")
        async with Topics(own_kafka.bootstrap_servers, client_id="test") as topics:
            assert await topics.facts(topic) is None, "asking for a topic must not make it"
            await topics.ensure(TopicSettings(topic, PARTITIONS, 1))
        await eventually(outbox.is_empty, "what waited has been sent")
        await eventually(ready, "it is ready")

    accepted += await outbox.accept_many(range(1, 101))
    await eventually(backlog_is_shown, "the metrics show the new backlog")

    with own_kafka.run():
        await eventually(outbox.is_empty, "what waited has been sent again")
        accepted += await outbox.accept_many(range(1, 101))
        await eventually(outbox.is_empty, "and what came after it")
        reader.bootstrap_servers = own_kafka.bootstrap_servers
        records = await reader.records(topic)
    assert {record.value.decode() for record in records} == {event for _, event in accepted}
    assert (await process.get("/livez"))[0] == 200

    waiting = await outbox.accept_many(range(1, 11))
    await eventually(backlog_is_shown, "the metrics show what waits")
    assert await process.stop() == 0, "it can be stopped while Kafka is away"
    assert await outbox.pending() == len(waiting)
