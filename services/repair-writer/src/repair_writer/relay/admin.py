"""The relay's commands: `repair-writer topic` and `repair-writer republish`."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from repair_events.topic import PARTITIONS, RETENTION_DAYS
from repair_writer.relay.republish import NotSentError, republish
from repair_writer.relay.settings import RepublishSettings, TopicCommandSettings
from repair_writer.store.outbox import is_postgres_error
from repair_writer.store.republish import Wanted, count_events
from service_runtime.clock import Clock, SystemClock
from service_runtime.command_line import fail
from service_runtime.kafka import (
    BatchProducer,
    KafkaError,
    TopicMismatchError,
    Topics,
    TopicSettings,
    is_infrastructure,
)
from service_runtime.postgres import create_pool
from service_runtime.settings import load

_ASK_AGAIN_SECONDS: Final = 1.0
_STATEMENT_SECONDS: Final = 120.0
_REPORT_EVERY_SECONDS: Final = 2.0


def register(app: typer.Typer) -> None:
    """Add the relay's commands to the writer's command line."""
    app.command("topic")(topic)
    app.command("republish")(republish_events)


def topic(
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long to wait for Kafka to answer.")
    ] = 30.0,
) -> None:
    """Make the topic, or check the one that is there. May be run again at any time."""
    settings = load(TopicCommandSettings)
    wanted = TopicSettings(
        settings.kafka_topic, PARTITIONS, RETENTION_DAYS, settings.kafka_replication
    )
    try:
        made = asyncio.run(_ensure(settings.kafka_bootstrap_servers, wanted, wait_seconds))
    except TopicMismatchError as error:
        fail(str(error))
    except (KafkaError, OSError) as error:
        fail(f"Kafka at {settings.kafka_bootstrap_servers} did not do it: {error!r}")
    else:
        word = "made" if made else "there, and right"
        typer.echo(
            f"Topic {wanted.name} is {word}: {PARTITIONS} partitions, {RETENTION_DAYS} days."
        )


def republish_events(
    customer: Annotated[int | None, typer.Option(min=1, help="Only this customer.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All customers.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Only what was accepted since this RFC 3339 moment (UTC when bare)."),
    ] = None,
    from_customer: Annotated[
        int, typer.Option(min=1, help="With --all: go on from this customer.")
    ] = 1,
    to_topic: Annotated[
        str | None, typer.Option("--topic", help="Another topic than KAFKA_TOPIC.")
    ] = None,
) -> None:
    """Send the list of events again, in order per customer, for those who read the topic.

    Our own projector needs none of this: it drops what it has and asks for what it lacks.
    """
    if (customer is None) != everybody:
        raise typer.BadParameter("say either --customer N or --all")
    settings = load(RepublishSettings)
    wanted = Wanted(customer, _moment(since), from_customer)
    try:
        sent = asyncio.run(_republish(settings, to_topic or settings.kafka_topic, wanted))
    except NotSentError as error:
        fail(f"{error} Go on with --from-customer {error.customer_id}.")
    except Exception as error:
        if not (is_infrastructure(error) or is_postgres_error(error)):
            raise
        fail(f"Kafka or Postgres did not do it: {error!r}")
    else:
        typer.echo(f"{sent} events sent.")


async def _ensure(bootstrap_servers: str, wanted: TopicSettings, wait_seconds: float) -> bool:
    """Create or check the topic. Return True if it was created.

    While Kafka is unavailable, retries each second for `wait_seconds`, then raises the last error.
    Raises TopicMismatchError when the topic differs from `wanted`.
    """
    clock = SystemClock()
    deadline = clock.monotonic() + wait_seconds
    while True:
        try:
            async with Topics(bootstrap_servers, client_id="repair-writer") as topics:
                return await topics.ensure(wanted)
        except Exception as error:
            if not is_infrastructure(error) or clock.monotonic() > deadline:
                raise
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def _republish(settings: RepublishSettings, topic_name: str, wanted: Wanted) -> int:
    async with Topics(settings.kafka_bootstrap_servers, client_id="repair-writer") as topics:
        if await topics.facts(topic_name) is None:
            fail(f"There is no topic {topic_name}: make it with `repair-writer topic`.")
    pool = await create_pool(
        settings.writer_database_url,
        name="repair-republish",
        size=1,
        statement_seconds=_STATEMENT_SECONDS,
    )
    async with (
        pool,
        BatchProducer(settings.kafka_bootstrap_servers, client_id="repair-republish") as producer,
    ):
        total = await count_events(pool, wanted)
        typer.echo(f"{total} events to send to {topic_name}.", err=True)
        return await republish(pool, producer, topic_name, wanted, _reporter(total, SystemClock()))


def _reporter(total: int, clock: Clock) -> Callable[[int, int], None]:
    """Return a function that prints the progress to stderr, at most every two seconds."""
    spoke = clock.monotonic()

    def report(sent: int, customer_id: int) -> None:
        nonlocal spoke
        if clock.monotonic() - spoke >= _REPORT_EVERY_SECONDS:
            spoke = clock.monotonic()
            share = 100 * sent // max(total, 1)
            typer.echo(f"{sent} of {total} ({share} %), at customer {customer_id}", err=True)

    return report


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no RFC 3339 moment", param_hint="--since") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
