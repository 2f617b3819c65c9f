"""The process of the writer's API: read the settings, open the resources, serve until the stop."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from portal_access.token import WRITER, TokenVerifier
from repair_writer.api.app import create_app
from repair_writer.api.reading import Dependencies
from repair_writer.api.settings import Settings
from repair_writer.callers import CONNECT_SECONDS, KeyRing
from repair_writer.durability import insist_on_durability
from repair_writer.housekeeping import keep_house
from repair_writer.schema import check_migrated
from repair_writer.store.keys import check_keys
from repair_writer.store.transaction import Pool, new_connection, reading
from service_runtime import logs
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, listen, run, serve_http
from service_runtime.ops import Health, OpsServer
from service_runtime.postgres import close_pool, create_pool
from service_runtime.settings import load
from service_runtime.watchdog import Watchdog

#: One looks up keys, the other records their use: a locked row then delays no lookup.
_KEY_CONNECTIONS = 2

#: Requests in progress for each pooled connection: one runs, three wait a few milliseconds.
_REQUESTS_PER_CONNECTION: Final = 4


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve requests until `stop` is set. Postgres may be unavailable for a time."""
    async with AsyncExitStack() as stack:
        health = Health()
        pool = await create_pool(
            settings.writer_database_url, name="repair-writer", size=settings.writer_pool_size
        )
        stack.push_async_callback(close_pool, pool)
        # API keys have connections of their own: commands that wait for a busy customer must not
        # block authentication.
        key_pool = await create_pool(
            settings.writer_database_url,
            name="repair-writer-keys",
            size=_KEY_CONNECTIONS,
            connect_seconds=CONNECT_SECONDS,
        )
        stack.push_async_callback(close_pool, key_pool)
        keys = KeyRing(key_pool)
        stack.push_async_callback(keys.close)
        watchdog = _watchdog(settings.writer_database_url, health, pool, keys)
        await stack.enter_async_context(OpsServer(health, settings.ops_host, settings.ops_port))
        app = create_app(
            Dependencies(
                pool=pool,
                keys=keys,
                tokens=TokenVerifier(settings.identity_keys_writer, WRITER),
                clock=SystemClock(),
                imports_at_once=settings.writer_imports_at_once,
                imports_open=settings.writer_imports_open,
                import_max_bytes=settings.writer_import_max_bytes,
                import_spool_bytes=settings.writer_import_spool_bytes,
            ),
            trusted_proxies=settings.trusted_proxies,
        )
        app.openapi()  # built before the first request: it takes a quarter of a second
        listener = listen(settings.writer_host, settings.writer_port or 0, settings.listen_fd)
        await stack.enter_async_context(
            background(watchdog.run(), keep_house(pool, keys), insist_on_durability(pool))
        )
        await serve_http(
            app,
            listener,
            stop=stop,
            health=health,
            limits=settings.http_limits(),
            max_requests=_REQUESTS_PER_CONNECTION * settings.writer_pool_size,
        )


def _watchdog(url: str, health: Health, pool: Pool, keys: KeyRing) -> Watchdog:
    """Return a watchdog of a request's two paths to Postgres: the command and the API key."""
    watchdog = Watchdog(health)
    watchdog.watch(
        "postgres",
        # A check waits longer than a command, so it gets a connection of a busy pool too.
        lambda: check_migrated(reading(pool, CONNECT_SECONDS)),
        lambda: check_migrated(new_connection(url)),
    )
    watchdog.watch("keys", keys.check, lambda: check_keys(url))
    return watchdog


def main() -> None:
    """Run the API. Exit with 78 when a setting is missing or invalid."""
    settings = load(Settings)
    logs.configure(
        level=settings.log_level, log_format=settings.log_format, service="repair-writer"
    )
    run(lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
