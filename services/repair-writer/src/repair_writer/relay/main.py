"""The relay's process: read the settings, open the resources, run until the stop signal."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from repair_writer.relay.opening import open_producer
from repair_writer.relay.relay import Relay
from repair_writer.relay.settings import RelaySettings
from repair_writer.store.outbox import check_outbox
from service_runtime import logs
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, run
from service_runtime.ops import Health, OpsServer
from service_runtime.postgres import close_pool, create_pool
from service_runtime.settings import load
from service_runtime.watchdog import Watchdog

#: One connection deletes, one measures, one moves rows to the dead letters.
_POOL_SIZE = 3


async def serve(settings: RelaySettings, stop: asyncio.Event) -> None:
    """Send the outbox to Kafka until `stop` is set."""
    async with AsyncExitStack() as stack:
        health = Health()
        pool = await create_pool(
            settings.writer_database_url, name="repair-relay", size=_POOL_SIZE, statement_seconds=10
        )
        stack.push_async_callback(close_pool, pool)
        relay = Relay(
            database_url=settings.writer_database_url,
            pool=pool,
            open_producer=partial(
                open_producer, settings.kafka_bootstrap_servers, settings.kafka_topic
            ),
            topic=settings.kafka_topic,
            health=health,
            clock=SystemClock(),
        )
        await stack.enter_async_context(OpsServer(health, settings.ops_host, settings.ops_port))
        watchdog = Watchdog(health)
        watchdog.watch(
            "postgres", relay.check_postgres, partial(check_outbox, settings.writer_database_url)
        )
        await stack.enter_async_context(background(watchdog.run(), relay.measure()))
        await relay.run(stop)


def main() -> None:
    """Run the relay. Exit with 78 when a setting is missing or invalid."""
    settings = load(RelaySettings)
    logs.configure(level=settings.log_level, log_format=settings.log_format, service="relay")
    run(lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
