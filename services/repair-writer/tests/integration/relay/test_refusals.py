"""Records that Kafka rejects: one row becomes a dead letter, or its partition waits; the others
flow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from repair_events.topic import PARTITIONS, partition
from repair_writer.relay import opening
from service_runtime.kafka import BatchProducer, KafkaError, Record, Sent, Topics, TopicSettings
from service_runtime.testing import eventually


async def test_a_row_larger_than_any_record_is_set_aside_and_the_next_ones_flow(
    outbox: Any, reader: Any, settings: Any, new_topic: str, run_relay: Callable[[Any], Any]
) -> None:
    before = await outbox.accept_many([7] * 20)
    row_id, event_id = await outbox.accept(7, b"x" * 2_000_000)
    after = await outbox.accept_many([7] * 20 + [8] * 20)
    async with run_relay(settings):
        await eventually(outbox.is_empty, "the outbox is empty")
    values = [record.value.decode() for record in await reader.records(new_topic)]
    assert sorted(values) == sorted(event for _, event in [*before, *after])
    (refused,) = await outbox.refused()
    assert (refused["id"], str(refused["event_id"]), refused["customer_id"]) == (
        row_id,
        event_id,
        7,
    )
    assert "TooLarge" in refused["reason"]
    assert len(refused["payload"]) == 2_000_000


async def test_the_one_row_that_the_broker_finds_too_large_is_found_among_many(
    *,
    outbox: Any,
    reader: Any,
    settings: Any,
    kafka_bootstrap: str,
    topic: str,
    run_relay: Callable[[Any], Any],
) -> None:
    narrow = TopicSettings(topic, PARTITIONS, 1, max_record_bytes=20_000)
    async with Topics(kafka_bootstrap, client_id="test") as topics:
        await topics.ensure(narrow)
    good = await outbox.accept_many(range(1, 61))
    bad = {(await outbox.accept(customer, b"y" * 30_000))[0] for customer in (5, 6, 7)}
    good += await outbox.accept_many([*range(1, 61), 5, 6, 7, 5])
    async with run_relay(settings):
        await eventually(outbox.is_empty, "the outbox is empty")
    assert {row["id"] for row in await outbox.refused()} == bad
    found = {record.value.decode() for record in await reader.records(topic)}
    assert found == {event for _, event in good}
    async with Topics(kafka_bootstrap, client_id="test") as topics:
        await topics.delete(topic)


class Stubborn(BatchProducer):
    """A producer for which Kafka rejects (or ignores) one partition for a while."""

    partition = 0
    refusals = 0
    hangs = False
    sends: list[tuple[int, int]]

    async def send(
        self, topic: str, partition: int, records: Sequence[Record], *, singly: bool = False
    ) -> Sent:
        if partition == Stubborn.partition and Stubborn.refusals > 0:
            Stubborn.refusals -= 1
            if Stubborn.hangs:
                await asyncio.Event().wait()
            return Sent(0, KafkaError("this partition has no quorum"), len(records))
        return await super().send(topic, partition, records, singly=singly)


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_partition_that_fails_holds_back_only_itself(
    *,
    outbox: Any,
    reader: Any,
    settings: Any,
    new_topic: str,
    run_relay: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,
) -> None:
    monkeypatch.setattr(opening, "BatchProducer", Stubborn)
    monkeypatch.setattr("repair_writer.relay.loop.STUCK_SECONDS", 3.0)
    Stubborn.partition, Stubborn.hangs = partition(1), hangs
    Stubborn.refusals = 1 if hangs else 1_000_000
    held = [customer for customer in range(1, 400) if partition(customer) == partition(1)]
    others = [customer for customer in range(1, 400) if partition(customer) != partition(1)]
    await outbox.accept_many(held * 250)
    async with run_relay(settings):
        for _ in range(3):
            flowing = await outbox.accept_many(others)
            ids = [row_id for row_id, _ in flowing]

            async def have_gone(ids: list[int] = ids) -> bool:
                left = await outbox.pool.fetchval(
                    "SELECT count(*) FROM writer.outbox WHERE id = ANY($1::bigint[])", ids
                )
                return bool(left == 0)

            await eventually(have_gone, "the other partitions flow")
        if not hangs:
            assert await outbox.pending() == len(held) * 250
            Stubborn.refusals = 0
        await eventually(outbox.is_empty, "the partition that was held back flows too")
    records = await reader.records(new_topic)
    assert {int(record.key) for record in records} == {*held, *others}
    assert await outbox.refused() == []


async def test_a_topic_with_another_number_of_partitions_is_never_written_to(
    outbox: Any,
    reader: Any,
    kafka_bootstrap: str,
    topic: str,
    start_process: Callable[[], Awaitable[Any]],
) -> None:
    async with Topics(kafka_bootstrap, client_id="test") as topics:
        await topics.ensure(TopicSettings(topic, 3, 1))
        await outbox.accept_many(range(1, 11))
        process = await start_process()

        async def says_so() -> bool:
            status, body = await process.get("/readyz")
            return status == 503 and "3 partitions and must have 12" in body

        await eventually(says_so, "it says what is wrong with the topic")
        assert await outbox.pending() == 10
        assert await reader.count(topic) == 0
        await topics.delete(topic)
