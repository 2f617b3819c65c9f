"""The query API as a process: reads its settings once, opens its resources, serves, closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from portal_access.token import QUERY, TokenVerifier
from portal_query.api.app import Parts, create_app
from portal_query.api.live import Revisions
from portal_query.api.settings import Settings
from portal_query.api.visitors import Visitors
from portal_query.read_model.documents import Documents, check_store
from portal_query.read_model.redis import DocumentCache, check_cache
from repair_events.month import time_zone
from service_runtime import logs
from service_runtime.access_log import AccessLog
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, listen, run, serve_http
from service_runtime.ops import Health, OpsServer
from service_runtime.postgres import close_pool, create_pool
from service_runtime.redis import create_redis
from service_runtime.settings import load
from service_runtime.watchdog import Watchdog

NAME = "portal-query"
#: Two gateways at their limit of connections. Counts come in batches: many at once cost little more
#: than one. A request with a connection of its own has a smaller limit (`Snapshots`).
_MAX_REQUESTS: Final = 128


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open the pool and the cache; close them in reverse order."""
    clock = SystemClock()
    log = AccessLog(clock, service=NAME, level=settings.log_level, log_format=settings.log_format)
    pool = await create_pool(
        settings.query_database_url.get_secret_value(),
        name=NAME,
        size=settings.query_pool_size,
    )
    redis = create_redis(settings.redis_url.get_secret_value())
    try:
        cache = DocumentCache(redis)
        documents = Documents(cache, pool)
        verifier = TokenVerifier(settings.identity_keys_query.get_secret_value(), QUERY)
        yield Parts(
            cache=cache,
            documents=documents,
            revisions=Revisions(cache, documents),
            pool=pool,
            visitors=Visitors(verifier, clock),
            clock=clock,
            zone=time_zone(settings.portal_time_zone),
            log=log,
            max_streams=settings.query_max_streams,
        )
        await documents.close()
        await cache.close()
    finally:
        log.flush()
        await redis.aclose()
        await close_pool(pool)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    health = Health()
    listener = listen(settings.query_host, settings.query_port or 0, settings.listen_fd)
    async with open_parts(settings) as parts:
        watchdog = _watchdog(settings, health, parts)
        async with (
            OpsServer(health, settings.ops_host, settings.ops_port),
            background(watchdog.run(), parts.revisions.listen(), parts.revisions.ask()),
        ):
            await serve_http(
                create_app(parts),
                listener,
                stop=stop,
                health=health,
                before_stop=parts.revisions.close,
                limits=settings.http_limits(),
                max_requests=_MAX_REQUESTS,
            )


def _watchdog(settings: Settings, health: Health, parts: Parts) -> Watchdog:
    """Check the path of a request to Postgres and to Redis."""
    postgres = settings.query_database_url.get_secret_value()
    redis = settings.redis_url.get_secret_value()
    watchdog = Watchdog(health)
    watchdog.watch("postgres", parts.documents.check, lambda: check_store(postgres))
    # Without Redis the process still serves, only more slowly.
    watchdog.watch("redis", parts.cache.check, lambda: check_cache(redis), required=False)
    return watchdog


def main() -> None:
    """Run the process."""
    settings = load(Settings)
    logs.configure(level=settings.log_level, log_format=settings.log_format, service=NAME)
    run(lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
