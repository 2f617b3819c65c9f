"""The writer's API on a real socket over a fresh database, with a strict client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import asyncpg
import pytest

from portal_access.scopes import SCOPES
from portal_access.token import HEADER, WRITER, Identity, TokenSigner, TokenVerifier
from repair_writer.api.app import create_app
from repair_writer.api.reading import Dependencies
from repair_writer.callers import KeyRing, new_key
from repair_writer.key_admin import KeyGrant, create_key
from repair_writer.store.audit import Operator
from service_runtime import logs
from service_runtime.clock import SystemClock
from service_runtime.lifecycle import listen, serve_http
from service_runtime.ops import Health
from service_runtime.postgres import create_pool

IDENTITY_KEYS = "test:0123456789abcdef0123456789abcdef"
OPERATOR = Operator(name="test", machine="localhost")
NDJSON = "application/x-ndjson"


@dataclass
class Answer:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def code(self) -> str:
        """Return the code of a problem, after a check of its shape."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"].endswith("/" + problem["code"])
        assert problem["request_id"] == self.headers["X-Request-Id"]
        assert "Traceback" not in self.body.decode()
        return str(problem["code"])

    @property
    def pointers(self) -> list[str]:
        return [error.get("pointer", error.get("parameter")) for error in self.json["errors"]]

    @property
    def revision(self) -> int:
        return int(self.headers["Portal-Revision"])


@dataclass
class Writer:
    """A client of the API with every scope, unless a request says otherwise."""

    url: str
    key: str
    http: aiohttp.ClientSession
    pool: "asyncpg.Pool[asyncpg.Record]"
    keys: KeyRing
    references: list[str] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        idempotency_key: str | None = None,
        patient: bool = True,
    ) -> Answer:
        """Send a request; a `patient` client retries after a 503, as clients should."""
        sent = {"Authorization": f"Bearer {key or self.key}"}
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        answer = await self._send(method, path, data, sent)
        for _ in range(20 if patient else 0):
            if answer.status != 503:
                break
            await asyncio.sleep(float(answer.headers["Retry-After"]) / 5)
            answer = await self._send(method, path, data, sent)
        return answer

    async def _send(self, method: str, path: str, data: Any, headers: dict[str, str]) -> Answer:
        async with self.http.request(method, self.url + path, data=data, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def put_customer(self, customer_id: int, name: str = "Lakeshore Freight") -> Answer:
        return await self.call("PUT", f"/v1/customers/{customer_id}", {"name": name})

    async def record(self, customer_id: int = 7, **fields: Any) -> Answer:
        return await self.call("POST", "/v1/repairs", repair(customer_id, **fields))

    async def recorded(self, customer_id: int = 7, **fields: Any) -> dict[str, Any]:
        answer = await self.record(customer_id, **fields)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def send_lines(self, lines: list[Any], query: str = "", **more: Any) -> Answer:
        text = b"\n".join(
            line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
        )
        headers = {"Content-Type": NDJSON}
        return await self.call(
            "POST", f"/v1/repairs/import{query}", data=text, headers=headers, **more
        )

    async def portal(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        customer_id: int = 7,
        headers: Mapping[str, str] | None = None,
        audience: str = WRITER,
    ) -> Answer:
        """Send a request as the gateway does for a customer."""
        token = self.token(customer_id, audience)
        sent = {HEADER: token, "Authorization": "", **(headers or {})}
        return await self.call(method, path, body, headers=sent)

    def token(self, customer_id: int = 7, audience: str = WRITER) -> str:
        identity = Identity(3, "dana", customer_id, "5e55")
        return TokenSigner(IDENTITY_KEYS, audience).sign(identity, SystemClock().now())

    async def events(self, customer_id: int = 7, after: int = 0) -> list[Any]:
        answer = await self.call("GET", f"/v1/customers/{customer_id}/events?after={after}")
        assert answer.status == 200, answer.body
        return answer.lines

    async def make_key(
        self,
        *scopes: str,
        client: str = "other",
        sources: tuple[str, ...] = (),
        customers: frozenset[int] | None = None,
    ) -> str:
        grant = KeyGrant(
            client=client, scopes=frozenset(scopes), sources=sources, customers=customers
        )
        key = new_key()
        await create_key(self.pool, key, grant, 30, OPERATOR)
        return key.text


def repair(customer_id: int = 7, **fields: Any) -> dict[str, Any]:
    """Return a repair as an internal system records it."""
    return {
        "customer_id": customer_id,
        "unit_number": "A123",
        "repair_date": "2026-03-01T14:30:00Z",
        "status": "PENDING",
        "cost": "240.00",
        **fields,
    }


async def _check_lists(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Check the invariants of the numbered streams, over the whole database."""
    faults = await pool.fetch(
        "SELECT customer_id FROM writer.event GROUP BY customer_id"
        " HAVING min(revision) <> 1 OR max(revision) <> count(*)"
    )
    assert not faults, f"gaps in {faults}"
    rows = await pool.fetch("SELECT * FROM writer.event ORDER BY customer_id, revision")
    for before, row in zip([None, *rows], rows, strict=False):
        event = json.loads(row["payload"])
        same = before is not None and before["customer_id"] == row["customer_id"]
        previous = str(before["event_id"]) if before is not None and same else None
        assert event["data"]["previous"] == previous
        assert (event["id"], event["data"]["revision"]) == (str(row["event_id"]), row["revision"])
        assert before is None or not same or before["accepted_at"] <= row["accepted_at"]
    unsent = await pool.fetch("SELECT event_id, payload FROM writer.outbox ORDER BY id")
    listed = {row["event_id"]: row["payload"] for row in rows}
    assert {row["event_id"]: row["payload"] for row in unsent} == listed
    behind = await pool.fetch(
        "SELECT c.customer_id FROM writer.customer c LEFT JOIN writer.event e"
        " ON (e.customer_id, e.revision) = (c.customer_id, c.revision)"
        " WHERE e.event_id IS DISTINCT FROM c.event_id"
    )
    assert not behind, f"heads that are not the end of their list: {behind}"


async def _eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - another process's state has no event
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Return a function that waits, with a deadline, until a condition holds."""
    return _eventually


@pytest.fixture
def free_ports() -> list[int]:
    """Return two ports that are free at this moment."""
    sockets = [listen("127.0.0.1", 0, None) for _ in range(2)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def check_lists() -> Callable[..., Awaitable[None]]:
    """Return the check of the streams as a function of a pool."""
    return _check_lists


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    logs.configure(level="warning", log_format="json", service="test")


@pytest.fixture
async def writer(database: Any) -> AsyncIterator[Writer]:
    """Return the API over an empty database, with customer 7."""
    async with serving(database.writer_url) as running:
        assert (await running.put_customer(7)).status == 201
        yield running


@pytest.fixture
def serve(database: Any) -> Callable[..., "serving"]:
    """Return the API with limits of its own, as a context manager."""
    return partial(serving, database.writer_url)


class serving:  # noqa: N801 - reads as a verb
    """Serve the API over a database for the length of a block."""

    def __init__(
        self,
        url: str,
        *,
        pool_limits: Mapping[str, Any] | None = None,
        trusted_proxies: Sequence[str] = (),
        **limits: Any,
    ) -> None:
        self._url = url
        self._pool_limits = pool_limits or {}
        self._trusted_proxies = trusted_proxies
        self._limits = limits
        self._stack = AsyncExitStack()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Writer:
        pool = await create_pool(self._url, name="test-writer", size=12, **self._pool_limits)
        self._stack.push_async_callback(pool.close)
        key_pool = await create_pool(self._url, name="test-writer-keys", size=1)
        self._stack.push_async_callback(key_pool.close)
        keys = KeyRing(key_pool)
        app = create_app(
            Dependencies(
                pool=pool,
                keys=keys,
                tokens=TokenVerifier(IDENTITY_KEYS, WRITER),
                clock=SystemClock(),
                **self._limits,
            ),
            trusted_proxies=self._trusted_proxies,
        )
        listener = listen("127.0.0.1", 0, None)
        port = listener.getsockname()[1]
        serving = asyncio.create_task(serve_http(app, listener, stop=self._stop, health=Health()))
        self._stack.push_async_callback(self._end, serving)
        http = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        key = new_key()
        grant = KeyGrant(client="dispatch", scopes=frozenset(SCOPES))
        await pool.execute("SELECT 1")  # a starved machine takes long to connect first
        await create_key(pool, key, grant, 30, OPERATOR)
        return Writer(f"http://127.0.0.1:{port}", key.text, http, pool, keys)

    async def _end(self, serving: asyncio.Task[None]) -> None:
        self._stop.set()
        await serving

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
