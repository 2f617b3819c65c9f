"""The Kafka module on a real broker."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvloop
from aiokafka.protocol.metadata import MetadataRequest

from service_runtime.kafka import (
    BatchProducer,
    Consumer,
    ConsumerRecord,
    KafkaError,
    Record,
    TopicMismatchError,
    TopicPartition,
    Topics,
    TopicSettings,
    create_consumer,
    has_stopped_fetching,
    is_infrastructure,
    is_too_large,
    is_waiting_to_rejoin,
)
from service_runtime.testing import eventually

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def topics(kafka_bootstrap: str) -> AsyncIterator[Topics]:
    async with Topics(kafka_bootstrap, client_id="test") as found:
        yield found


@pytest.fixture
async def made(topics: Topics, topic: str) -> AsyncIterator[str]:
    """Return a topic of three partitions."""
    await topics.ensure(TopicSettings(topic, 3, 1))
    yield topic
    await topics.delete(topic)


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[BatchProducer]:
    async with BatchProducer(kafka_bootstrap, client_id="test") as found:
        yield found


async def read(bootstrap_servers: str, topic: str, partition: int) -> list[tuple[bytes, bytes]]:
    """Return key and value of every record of a partition."""
    consumer = create_consumer(bootstrap_servers, client_id="test")
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        found: list[tuple[bytes, bytes]] = []
        while len(found) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.key or b"", record.value or b"") for record in records]
        return found
    finally:
        await consumer.stop()


async def test_a_topic_is_made_once_and_found_right_after_that(topics: Topics, topic: str) -> None:
    wanted = TopicSettings(topic, 3, 30)
    assert await topics.facts(topic) is None
    assert await topics.facts(topic) is None, "asking must not make it"
    assert await topics.ensure(wanted)
    assert not await topics.ensure(wanted)
    facts = await topics.facts(topic)
    assert facts is not None
    assert (facts.partitions, facts.replication, len(facts.id)) == (3, 1, 36)
    assert facts.config["retention.ms"] == str(30 * 86_400_000)
    assert facts.config["message.timestamp.type"] == "LogAppendTime"
    assert facts.config["cleanup.policy"] == "delete"
    await topics.delete(topic)


async def test_two_that_make_a_topic_at_once_both_succeed(
    kafka_bootstrap: str, topics: Topics, topic: str
) -> None:
    wanted = TopicSettings(topic, 3, 1)
    async with Topics(kafka_bootstrap, client_id="test") as others:
        made = await asyncio.gather(topics.ensure(wanted), others.ensure(wanted))
    assert sorted(made) in ([False, True], [True, True])
    await topics.delete(topic)


async def test_all_that_is_wrong_with_a_topic_is_said_at_once(topics: Topics, made: str) -> None:
    with pytest.raises(TopicMismatchError) as caught:
        await topics.ensure(TopicSettings(made, 12, 30, max_record_bytes=5_000_000))
    said = str(caught.value)
    assert len(caught.value.problems) == 3
    for part in (made, "3 partitions", "must have 12", "retention.ms", "max.message.bytes"):
        assert part in said


async def test_a_topic_that_was_made_again_has_another_id(topics: Topics, made: str) -> None:
    before = await topics.facts(made)
    await topics.delete(made)

    async def is_gone() -> bool:
        return await topics.facts(made) is None

    await eventually(is_gone, "the topic is deleted")
    await topics.ensure(TopicSettings(made, 3, 1))
    after = await topics.facts(made)
    assert before is not None
    assert after is not None
    assert before.id != after.id


async def test_a_topic_that_cannot_be_made_is_an_error(topics: Topics) -> None:
    with pytest.raises(KafkaError):
        await topics.ensure(TopicSettings("not a name!", 1, 1))


async def test_records_arrive_in_order_with_key_and_value_over_many_batches(
    kafka_bootstrap: str, topics: Topics, made: str, producer: BatchProducer
) -> None:
    records = [Record(b"%d" % n, b"%d:" % n + b"x" * 1_000) for n in range(1_500)]
    assert await producer.partitions(made) == 3
    answers = await asyncio.gather(
        producer.send(made, 1, records), producer.send(made, 2, records[:5], singly=True)
    )
    assert [(sent.count, sent.error) for sent in answers] == [(1_500, None), (5, None)]
    assert await read(kafka_bootstrap, made, 1) == [tuple(record) for record in records]
    assert await topics.offsets(made) == {0: (0, 0), 1: (0, 1_500), 2: (0, 5)}


async def test_nothing_to_send_is_sent(made: str, producer: BatchProducer) -> None:
    sent = await producer.send(made, 0, [])
    assert (sent.count, sent.error) == (0, None)


async def test_what_stands_before_a_record_that_is_too_large_arrives(
    kafka_bootstrap: str, made: str, producer: BatchProducer
) -> None:
    records = [Record(b"1", b"a"), Record(b"1", b"b"), Record(b"1", b"x" * 1_100_000)]
    sent = await producer.send(made, 0, [*records, Record(b"1", b"c")])
    assert (sent.count, sent.refused) == (2, 1)
    assert is_too_large(sent.error)
    assert await read(kafka_bootstrap, made, 0) == [(b"1", b"a"), (b"1", b"b")]


async def test_a_batch_that_the_broker_refuses_is_an_answer(
    kafka_bootstrap: str, topics: Topics, topic: str
) -> None:
    await topics.ensure(TopicSettings(topic, 1, 1, max_record_bytes=10_000))
    records = [Record(b"1", b"s" * 100)] * 3 + [Record(b"1", b"L" * 50_000)]
    async with BatchProducer(kafka_bootstrap, client_id="test") as producer:
        together = await producer.send(topic, 0, records)
    assert (together.count, together.refused) == (0, 4)
    assert is_too_large(together.error)
    async with BatchProducer(kafka_bootstrap, client_id="test") as producer:
        one_by_one = await producer.send(topic, 0, records, singly=True)
    assert (one_by_one.count, one_by_one.refused) == (3, 1)
    assert is_too_large(one_by_one.error)
    await topics.delete(topic)


async def test_a_partition_that_is_not_there_is_a_refusal(
    made: str, producer: BatchProducer
) -> None:
    sent = await producer.send(made, 7, [Record(b"1", b"a")])
    assert sent.count == 0
    assert isinstance(sent.error, KafkaError)
    assert not is_too_large(sent.error)


async def test_nobody_there_is_infrastructure_and_said_soon() -> None:
    began = time.monotonic()
    with pytest.raises(Exception, match=r".") as caught:
        async with BatchProducer(NOBODY, client_id="test"):
            pass
    assert is_infrastructure(caught.value)
    with pytest.raises(KafkaError):
        async with Topics(NOBODY, client_id="test"):
            pass
    assert time.monotonic() - began < 60


async def test_a_send_can_be_given_up_and_the_producer_closed(
    made: str, producer: BatchProducer
) -> None:
    sending = asyncio.create_task(producer.send(made, 0, [Record(b"1", b"x")] * 1_000, singly=True))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await asyncio.wait_for(producer.close(), 20)
    await producer.close()


async def test_a_group_commits_and_goes_on_from_there(
    kafka_bootstrap: str, made: str, producer: BatchProducer
) -> None:
    await producer.send(made, 0, [Record(b"1", b"%d" % n) for n in range(10)])
    place = TopicPartition(made, 0)
    for expected in (0, 4):
        consumer = create_consumer(kafka_bootstrap, client_id="test", group=made)
        await consumer.start()
        try:
            consumer.subscribe([made])
            records = await _first(consumer, place)
            assert records[0].offset == expected
            assert not is_waiting_to_rejoin(consumer)
            await consumer.commit({place: 4})
            assert await cast("Any", consumer).committed(place) == 4  # of the driver
        finally:
            await consumer.stop()


async def _first(consumer: Consumer, place: TopicPartition) -> list[ConsumerRecord]:
    while True:
        found = await consumer.getmany(timeout_ms=500)
        if found.get(place):
            return found[place]


async def reset_again_and_again(bootstrap_servers: str, topic: str) -> None:
    """Reset each connection and write to it at once, as the driver may; continue reading."""
    place = TopicPartition(topic, 0)
    async with BatchProducer(bootstrap_servers, client_id="test") as producer:
        consumer = create_consumer(bootstrap_servers, client_id="test", group=topic)
        await consumer.start()
        try:
            consumer.subscribe([topic])
            for number in range(3):
                await producer.send(topic, 0, [Record(b"1", b"%d" % number)])
                assert (await _first(consumer, place))[0].value == b"%d" % number
                for connection in list(cast("Any", consumer)._client._conns.values()):
                    if connection.connected():
                        connection._writer.transport.abort()
                        await asyncio.sleep(0)
                        # Lost, or not yet: either way in the driver's words.
                        with contextlib.suppress(KafkaError):
                            await connection.send(MetadataRequest([]))
            assert not has_stopped_fetching(consumer)
        finally:
            await consumer.stop()


def test_a_consumer_reads_on_after_its_connections_were_reset(
    kafka_bootstrap: str, made: str
) -> None:
    # On the loop of the services: it rejects a write to a closed connection with its own error.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(reset_again_and_again(kafka_bootstrap, made), 60))
