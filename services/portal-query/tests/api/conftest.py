"""The query API as in production, on a real Postgres and Valkey, with a read model to fill."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import pytest
from pydantic import SecretStr

from portal_access.token import QUERY, Identity, TokenSigner
from portal_query.api.app import Parts, create_app
from portal_query.api.main import open_parts
from portal_query.api.settings import Settings
from portal_query.document import Document, render
from portal_query.read_model.counts import load_counts
from portal_query.read_model.redis import DocumentCache
from repair_events.month import Months
from repair_events.topic import partition
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import background, listen, serve_http
from service_runtime.ops import Health
from service_runtime.redis import create_redis

KEYS = "test:" + "k" * 40
ZONE = "America/Chicago"


@dataclass
class Repair:
    """A repair of a test, with defaults for rarely relevant values."""

    unit: str = "A1"
    status: str = "COMPLETED"
    date: datetime = datetime(2026, 1, 15, 12, tzinfo=UTC)
    cost: str = "120.00"
    description: str = "crack"
    notes: str = ""
    removed: bool = False
    repair_id: uuid.UUID = field(default_factory=uuid.uuid4)
    event_id: uuid.UUID = field(default_factory=uuid.uuid4)


class ReadModel:
    """Writes the projector's rows, by an independent count."""

    def __init__(self, connection: "asyncpg.Connection[Any]", cache: DocumentCache) -> None:
        self.connection = connection
        self.cache = cache
        self._months = Months(ZONE)

    async def put(
        self,
        customer_id: int,
        repairs: Sequence[Repair] = (),
        *,
        revision: int | None = None,
        refold: int = 1,
        name: str = "Prairie Freight",
        event_id: uuid.UUID | None = None,
    ) -> None:
        """Replace a customer by these repairs."""
        async with self.connection.transaction():
            for table in ("repair", "repair_count", "customer"):
                await self.connection.execute(
                    f"DELETE FROM portal.{table} WHERE customer_id = $1", customer_id
                )
            at = len(repairs) if revision is None else revision
            await self.connection.execute(
                "INSERT INTO portal.customer (customer_id, revision, event_id, refold, fold_version,"
                " accepted_at, name, city) VALUES ($1, $2, $3, $4, 'test', now(), $5, 'Joliet')",
                *(customer_id, at, (event_id or uuid.uuid4()) if at else None, refold, name),
            )
            await self._repairs(customer_id, repairs)
            await self._counts(customer_id, [one for one in repairs if not one.removed])

    async def _repairs(self, customer_id: int, repairs: Sequence[Repair]) -> None:
        rows = [
            (
                *(customer_id, one.repair_id, one.unit, one.date, self._months.month_of(one.date)),
                *(one.status, one.description, "", one.cost, one.notes, "internal", None),
                *(one.removed, n, one.event_id, one.date, one.date),
            )
            for n, one in enumerate(repairs, 1)
        ]
        await self.connection.executemany(
            "INSERT INTO portal.repair VALUES"
            " ($1,$2,$3,$4,$5,$6,$7,$8,$9::text::numeric,$10,$11,$12,$13,$14,$15,$16,$17)",
            rows,
        )

    async def _counts(self, customer_id: int, repairs: Sequence[Repair]) -> None:
        counted: list[Counter[str]] = [
            Counter(one.unit for one in repairs),
            Counter(self._months.month_of(one.date) for one in repairs),
            Counter(one.status for one in repairs),
        ]
        for dimension, counts in enumerate(counted):
            await self.connection.executemany(
                "INSERT INTO portal.repair_count VALUES ($1, $2, $3, $4)",
                [(customer_id, dimension, bucket, n) for bucket, n in counts.items()],
            )

    async def history(
        self, customer_id: int, repair_id: uuid.UUID, *facts: str, after: int = 0
    ) -> None:
        """Set a repair's history to these facts, the first at the revision after `after`."""
        await self.connection.executemany(
            "INSERT INTO portal.repair_history (customer_id, repair_id, revision, occurred_at,"
            " accepted_at, event_id, fact, by, status, reason)"
            " VALUES ($1, $2, $3, now(), now(), gen_random_uuid(), $4, 'company', 'PENDING', 'why')",
            [(customer_id, repair_id, after + n, fact) for n, fact in enumerate(facts, 1)],
        )

    async def as_of(self, customer_id: int, moment: datetime) -> None:
        """Set in both stores the time until which the customer's partition has been published."""
        at = partition(customer_id)
        await self.connection.execute(
            "INSERT INTO portal.partition_progress VALUES ('t', $1, $2)"
            " ON CONFLICT (topic, partition) DO UPDATE SET as_of = excluded.as_of",
            *(at, moment),
        )
        await self.cache.put_as_of({at: moment})

    async def document(self, customer_id: int) -> Document:
        """Return the cached counts of the tables."""
        (counts,) = await load_counts(self.connection, [customer_id])
        return render(counts)

    async def publish(self, customer_id: int) -> Document:
        """Put the cached counts of the tables into Redis, as the publisher does."""
        document = await self.document(customer_id)
        await self.cache.put_many([document])
        return document


class Api:
    """A running query API with a client."""

    def __init__(self, url: str, client: aiohttp.ClientSession, parts: Parts) -> None:
        self.url = url
        self.client = client
        self.parts = parts
        self._signer = TokenSigner(KEYS, QUERY)

    def token(self, customer_id: int) -> str:
        """Return a token of a user of this customer."""
        identity = Identity(7, "dana", customer_id, "s1")
        return self._signer.sign(identity, SystemClock().now())

    def page_headers(self, customer_id: int) -> dict[str, str]:
        """Return the gateway's headers on requests of a browser."""
        return {"X-Gateway-Token": self.token(customer_id), "X-Csrf-Token": "m" * 64}

    def ask(
        self, path: str, customer_id: int | None = 1, method: str = "GET", **headers: str
    ) -> Any:
        """Send a request as the gateway would; header names with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if customer_id is not None:
            sent["X-Gateway-Token"] = self.token(customer_id)
        return self.client.request(method, self.url + path, headers=sent, allow_redirects=False)


@asynccontextmanager
async def running(query_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Api]:
    """Run the query API in this loop, on a port of its own."""
    made = Settings(
        ops_port=0,
        query_database_url=SecretStr(query_url),
        redis_url=SecretStr(redis_url),
        identity_keys_query=SecretStr(KEYS),
        portal_time_zone=ZONE,
        query_port=0,
        **settings,
    )
    listener = listen("127.0.0.1", 0, None)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(made))
        revisions = parts.revisions
        await stack.enter_async_context(background(revisions.listen(), revisions.ask()))
        serving = asyncio.create_task(
            serve_http(
                create_app(parts), listener, stop=stop, health=Health(), before_stop=revisions.close
            )
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            yield Api(url, client, parts)
        finally:
            await client.close()
            stop.set()
            await serving


@pytest.fixture
async def read_model(database: Any, redis_url: str) -> AsyncIterator[ReadModel]:
    """Return the read model of a fresh database and an empty Redis."""
    connection = await asyncpg.connect(database.portal_url)
    redis = create_redis(redis_url)
    yield ReadModel(connection, DocumentCache(redis))
    await redis.aclose()
    await connection.close()


@pytest.fixture
async def api(database: Any, redis_url: str) -> AsyncIterator[Api]:
    """Return the query API, running on the same database and Redis."""
    async with running(database.query_url, redis_url) as started:
        yield started


@pytest.fixture
def eventually() -> Any:
    """Return a function that waits until a condition holds, for ten seconds at most."""

    async def wait(condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await condition():  # noqa: ASYNC110 - it looks at another process
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def start_api() -> Any:
    """Return a function that starts a query API on the given backends."""
    return running


@pytest.fixture
def repair() -> type[Repair]:
    """Return a maker of repairs."""
    return Repair


@pytest.fixture
def a_fleet() -> Sequence[Repair]:
    """Return twelve repairs over four units, three months and all statuses."""
    statuses = ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")
    units = ("B2", "A1", "A1", "C é")
    found = []
    for n, (status, unit) in zip(
        range(12), itertools.cycle(zip(statuses, units * 2, strict=False))
    ):
        date = datetime(2026, 1 + n % 3, 1 + n, 12, n, tzinfo=UTC)
        found.append(Repair(unit, status, date, f"{100 + n}.50", f"chip {n}"))
    return found
