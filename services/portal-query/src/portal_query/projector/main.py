"""The projector: `python -m portal_query.projector.main`."""

import asyncio
import gc
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from portal_query.projector.apply import Applier
from portal_query.projector.buffer import Buffer
from portal_query.projector.freshness import Freshness
from portal_query.projector.heads import Heads
from portal_query.projector.intake import Intake
from portal_query.projector.lately import Lately
from portal_query.projector.lists import WriterLists
from portal_query.projector.loop import Loop
from portal_query.projector.pace import BEHIND
from portal_query.projector.positions import Positions
from portal_query.projector.publish import Publisher
from portal_query.projector.refold import Refolder
from portal_query.projector.refolds import Refolds
from portal_query.projector.selfcheck import SelfCheck
from portal_query.projector.settings import ProjectorSettings
from portal_query.projector.watch import FreshnessLoop
from portal_query.read_model.documents import check_store
from portal_query.read_model.postgres import Line
from portal_query.read_model.redis import DocumentCache, check_cache
from repair_events.month import Months, fold_version
from service_runtime import lifecycle, logs
from service_runtime.clock import SystemClock
from service_runtime.kafka import Topics, create_consumer
from service_runtime.ops import Health, OpsServer
from service_runtime.redis import create_redis
from service_runtime.settings import load
from service_runtime.watchdog import Watchdog

NAME: Final = "projector"
#: Limits for a batch of ten thousand on a loaded machine, and a rebuild of a million repairs.
_STATEMENT_SECONDS: Final = 30.0
_REFOLD_SECONDS: Final = 300.0
_LOCK_SECONDS: Final = 15.0
_LAST_ROUND_SECONDS: Final = 3.0
#: What the driver may prefetch: more brings no speed, and all of it is memory of this process.
_FETCH_BYTES: Final = 8 * 1024 * 1024
_PARTITION_BYTES: Final = 512 * 1024


class Projector:
    """All parts of the process, connected and not started."""

    def __init__(
        self, settings: ProjectorSettings, lists: WriterLists, cache: DocumentCache
    ) -> None:
        clock = SystemClock()
        rule = fold_version(settings.portal_time_zone)
        months = Months(settings.portal_time_zone)
        self._lines: list[Line] = []
        self._url = settings.portal_database_url.get_secret_value()
        buffer, positions = Buffer(), Positions()
        to_check, to_compare = Lately(), Lately()

        def published(customers: Collection[int]) -> None:
            to_check.add(customers)
            to_compare.add(customers)

        freshness = Freshness(positions)
        self.health = Health(clock)
        self.freshness = freshness
        self.intake = _intake(settings, buffer, positions, freshness)
        self.publisher = Publisher(
            self._line("publish"),
            cache,
            positions,
            lambda: self.intake.behind() >= BEHIND,
            published,
        )
        self.refolds = Refolds(self.publisher.changed, self.intake.owns, clock)
        applier = Applier(self._line("apply"), settings.portal_time_zone)
        self.loop = Loop(
            buffer=buffer,
            intake=self.intake,
            applier=applier,
            publisher=self.publisher,
            refolds=self.refolds,
            positions=positions,
            months=months,
            clock=clock,
        )
        self.heads = Heads(
            lists=lists,
            line=self._line("heads"),
            freshness=freshness,
            refolds=self.refolds,
            publisher=self.publisher,
            published=to_compare,
            clock=clock,
            fold_version=rule,
            lately_seconds=settings.projector_heads_seconds,
            page_seconds=settings.projector_sweep_page_seconds,
        )
        self.watch = FreshnessLoop(
            freshness=freshness,
            intake=self.intake,
            lists=lists,
            line=self._line("freshness"),
            cache=cache,
            clock=clock,
        )
        self.selfcheck = SelfCheck(
            lately=to_check,
            line=self._line("self-check"),
            cache=cache,
            lists=lists,
            freshness=freshness,
            refolds=self.refolds,
            owns=self.intake.owns,
            clock=clock,
            seconds=settings.projector_selfcheck_seconds,
            customers=settings.projector_selfcheck_customers,
        )
        self.refolders = [
            Refolder(self._line("refold", _REFOLD_SECONDS), lists, settings.portal_time_zone)
            for _ in range(settings.projector_refolds)
        ]
        self.watchdog = Watchdog(self.health)
        self.watchdog.watch("postgres", applier.check, lambda: check_store(self._url))
        # Without Redis the counts in Postgres are still current.
        redis_url = settings.redis_url.get_secret_value()
        self.watchdog.watch("redis", cache.check, lambda: check_cache(redis_url), required=False)
        self.health.register("group", self._check_group)
        self.health.register("heads", self._check_heads)
        self.health.register("tables", self._check_tables)

    async def run(self, stop: asyncio.Event) -> None:
        """Join the group, work until `stop` is set, then leave in order."""
        stopped = asyncio.create_task(stop.wait())
        joining = asyncio.create_task(self.intake.start())
        try:
            await asyncio.wait({stopped, joining}, return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                await joining
                async with lifecycle.background(*self._jobs()):
                    await stop.wait()
                    self.health.stopping = True
        finally:
            joining.cancel()
            stopped.cancel()
            await asyncio.gather(joining, stopped, return_exceptions=True)
            await self._leave()

    def _jobs(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self.watchdog.run(),
            self.intake.run(self.health),
            self.intake.commit_each_second(),
            self.loop.run(self.health),
            self.publisher.run(self.health),
            self.heads.run(),
            self.watch.run(),
            self.selfcheck.run(),
            self.refolds.watch_standing_still(self._line("standing still")),
            *(self.refolds.work(refolder) for refolder in self.refolders),
        ]

    async def _leave(self) -> None:
        """Publish what has been applied, commit it, and close all connections."""
        try:
            async with asyncio.timeout(_LAST_ROUND_SECONDS):
                await self.publisher.round()
        except TimeoutError:
            logs.get().info("left_unpublished")  # the next owner reads it again
        await self.intake.stop()
        for line in self._lines:
            line.drop()

    def _line(self, job: str, seconds: float = _STATEMENT_SECONDS) -> Line:
        line = Line(
            self._url, name=f"{NAME} {job}", statement_seconds=seconds, lock_seconds=_LOCK_SECONDS
        )
        self._lines.append(line)
        return line

    async def _check_group(self) -> None:
        if not self.intake.joined:
            raise RuntimeError("not in the consumer group yet")

    async def _check_tables(self) -> None:
        self.watch.check_tables()

    async def _check_heads(self) -> None:
        if not self.freshness.ready():
            raise RuntimeError("the heads have not been compared yet")


def _intake(
    settings: ProjectorSettings, buffer: Buffer, positions: Positions, freshness: Freshness
) -> Intake:
    servers = settings.kafka_bootstrap_servers
    return Intake(
        lambda: create_consumer(
            servers,
            client_id=NAME,
            group=settings.projector_group,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
        ),
        lambda: Topics(servers, client_id=NAME),
        settings.kafka_topic,
        settings.projector_group,
        buffer=buffer,
        positions=positions,
        freshness=freshness,
    )


async def serve(settings: ProjectorSettings, stop: asyncio.Event) -> None:
    """Run the projector until `stop` is set."""
    async with AsyncExitStack() as stack:
        key = settings.writer_history_key.get_secret_value()
        lists = await stack.enter_async_context(WriterLists(settings.writer_url, key))
        redis = create_redis(settings.redis_url.get_secret_value())
        stack.push_async_callback(redis.aclose)
        projector = Projector(settings, lists, DocumentCache(redis))
        await stack.enter_async_context(
            OpsServer(projector.health, settings.ops_host, settings.ops_port)
        )
        await projector.run(stop)


def main() -> None:
    """Read the settings, then run until stopped by a signal."""
    settings = load(ProjectorSettings)
    logs.configure(level=settings.log_level, log_format=settings.log_format, service=NAME)
    # Events live for one batch and hold no cycles, so repeated collection only costs time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    lifecycle.run(lambda stop: serve(settings, stop))


if __name__ == "__main__":
    main()
