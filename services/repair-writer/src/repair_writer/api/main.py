"""The writer's API process: reads its settings, opens its parts, serves until told to stop."""

import asyncio
from contextlib import AsyncExitStack

from portal_access.token import WRITER, TokenVerifier
from repair_writer.api.app import create_app
from repair_writer.api.reading import Dependencies
from repair_writer.api.settings import Settings
from repair_writer.callers import KeyRing
from repair_writer.durability import insist_on_durability
from repair_writer.housekeeping import keep_house
from repair_writer.schema import check_migrated
from service_runtime import logs
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, listen, run, serve_http
from service_runtime.ops import Health, OpsServer
from service_runtime.postgres import create_pool
from service_runtime.settings import load


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; Postgres may come and go meanwhile."""
    async with AsyncExitStack() as stack:
        health = Health()
        pool = await create_pool(
            settings.writer_database_url, name="repair-writer", size=settings.writer_pool_size
        )
        stack.push_async_callback(pool.close)
        # Who calls is asked on a connection of its own: commands that wait for a busy customer
        # must not lock everybody out.
        key_pool = await create_pool(
            settings.writer_database_url, name="repair-writer-keys", size=1
        )
        stack.push_async_callback(key_pool.close)
        keys = KeyRing(key_pool)
        health.register("postgres", lambda: check_migrated(pool))
        await stack.enter_async_context(OpsServer(health, settings.ops_host, settings.ops_port))
        app = create_app(
            Dependencies(
                pool=pool,
                keys=keys,
                tokens=TokenVerifier(settings.identity_keys_writer, WRITER),
                clock=SystemClock(),
                imports_at_once=settings.writer_imports_at_once,
                import_max_bytes=settings.writer_import_max_bytes,
            )
        )
        app.openapi()  # made before anybody waits for it: it takes a quarter of a second
        listener = listen(settings.writer_host, settings.writer_port or 0, settings.listen_fd)
        await stack.enter_async_context(
            background(keep_house(pool, keys), insist_on_durability(pool))
        )
        await serve_http(app, listener, stop=stop, health=health, limits=settings.http_limits())


def main() -> None:
    """Run the API; exits with 78 when a setting is missing or unusable."""
    settings = load(Settings)
    logs.configure(
        level=settings.log_level, log_format=settings.log_format, service="repair-writer"
    )
    run(lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
