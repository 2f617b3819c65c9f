"""`repair-writer topic` and `repair-writer republish`, as an operator types them."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from repair_events.topic import PARTITIONS, partition
from repair_writer.relay.admin import register
from service_runtime.kafka import TopicFacts, Topics, TopicSettings

app = typer.Typer()
register(app)

CUSTOMERS, REVISIONS = range(1, 61), 50
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def run(
    database: Any, kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return a function that runs one command; the topic is deleted afterwards."""
    monkeypatch.setenv("WRITER_DATABASE_URL", database.writer_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("KAFKA_TOPIC", topic)
    yield lambda *words: CliRunner().invoke(app, words)
    asyncio.run(delete(kafka_bootstrap, topic))


async def delete(bootstrap_servers: str, topic: str) -> None:
    async with Topics(bootstrap_servers, client_id="test") as topics:
        if await topics.facts(topic) is not None:
            await topics.delete(topic)


async def facts_of(bootstrap_servers: str, topic: str) -> TopicFacts | None:
    async with Topics(bootstrap_servers, client_id="test") as topics:
        return await topics.facts(topic)


async def fill_list(url: str) -> None:
    """Write a stream of fifty events for each customer; revision n is n days old."""
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(
            "INSERT INTO writer.event (customer_id, revision, event_id, type, accepted_at, payload)"
            " VALUES ($1, $2, $3, 'test', $4, $5)",
            [
                (
                    customer,
                    revision,
                    uuid.uuid4(),
                    NOW - timedelta(days=REVISIONS - revision),
                    b"%d.%d" % (customer, revision),
                )
                for customer in CUSTOMERS
                for revision in range(1, REVISIONS + 1)
            ],
        )
    finally:
        await connection.close()


def sent(reader: Any, topic: str) -> dict[int, list[int]]:
    """Return the revisions on the topic, by customer and in their order."""
    found: dict[int, list[int]] = defaultdict(list)
    for record in asyncio.run(reader.records(topic)):
        customer, revision = map(int, record.value.split(b"."))
        assert record.key == b"%d" % customer
        assert record.partition == partition(customer)
        found[customer].append(revision)
    return dict(found)


def test_the_topic_is_made_and_may_be_asked_for_again(
    run: Any, kafka_bootstrap: str, topic: str
) -> None:
    first, again = run("topic"), run("topic")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert f"Topic {topic} is made: 12 partitions, 30 days." in first.output
    assert "is there, and right" in again.output
    facts = asyncio.run(facts_of(kafka_bootstrap, topic))
    assert facts is not None
    assert facts.partitions == PARTITIONS


def test_a_topic_that_is_not_as_it_must_be_is_named_with_what_to_do(
    run: Any, kafka_bootstrap: str, topic: str
) -> None:
    async def make() -> None:
        async with Topics(kafka_bootstrap, client_id="test") as topics:
            await topics.ensure(TopicSettings(topic, 3, 1))

    asyncio.run(make())
    result = run("topic")
    assert result.exit_code == 1
    assert "3 partitions" in result.output
    assert "retention.ms" in result.output
    assert "Traceback" not in result.output


def test_kafka_away_is_one_line_and_no_traceback(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for command in (("topic", "--wait-seconds", "0"), ("republish", "--all")):
        result = run(*command)
        assert result.exit_code == 1
        assert "127.0.0.1" in result.output
        assert "Traceback" not in result.output


def test_the_whole_list_is_sent_again_in_order_per_customer(
    run: Any, database: Any, reader: Any, topic: str
) -> None:
    asyncio.run(fill_list(database.writer_url))
    run("topic")
    result = run("republish", "--all")
    assert result.exit_code == 0
    assert "3000 events sent." in result.output
    everything = list(range(1, REVISIONS + 1))
    assert sent(reader, topic) == dict.fromkeys(CUSTOMERS, everything)


@pytest.mark.parametrize(
    ("words", "customers", "revisions"),
    [
        (("--customer", "7"), [7], range(1, 51)),
        (("--customer", "7", "--since", "2026-02-20"), [7], range(41, 51)),
        (("--all", "--from-customer", "58"), [58, 59, 60], range(1, 51)),
        (("--all", "--since", "2026-03-01T00:00:00Z"), list(CUSTOMERS), [50]),
        (("--customer", "4711"), [], []),
    ],
)
def test_a_part_of_the_list_can_be_sent(  # noqa: PLR0917 - three values of one case
    run: Any,
    database: Any,
    reader: Any,
    topic: str,
    words: tuple[str, ...],
    customers: list[int],
    revisions: list[int],
) -> None:
    asyncio.run(fill_list(database.writer_url))
    run("topic")
    result = run("republish", *words)
    assert result.exit_code == 0
    assert f"{len(customers) * len(revisions)} events sent." in result.output
    assert sent(reader, topic) == {customer: list(revisions) for customer in customers}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--customer N or --all"),
        (("--all", "--customer", "7"), "--customer N or --all"),
        (("--all", "--since", "yesterday"), "RFC 3339"),
        (("--customer", "0"), "greater than or equal to 1"),
        (("--all", "--topic", "no-such-topic"), "repair-writer topic"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(
    run: Any, words: tuple[str, ...], says: str
) -> None:
    result = run("republish", *words)
    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output


def test_missing_settings_are_all_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITER_DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name)
    result = run("republish", "--all")
    assert result.exit_code == 78
    assert "WRITER_DATABASE_URL" in result.output
    assert "KAFKA_BOOTSTRAP_SERVERS" in result.output
