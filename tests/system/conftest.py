"""Fixtures of the system tests: the running stack's addresses, new customers, a caller, visitors."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest
from deploy.demo.writer import Writer
from tests.oracle import hops, settle
from tests.oracle.compare import Places, agree
from tests.oracle.sessions import open_sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from deploy.local.whole import Stack
    from tests.oracle.fold import Folded

_customers = itertools.count(time.time_ns() // 1_000_000_000 % 1_000_000 * 1_000 + 10_000)


@dataclass(frozen=True)
class Reply:
    """A response of the gateway: status, headers, bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Visitor:
    """A browser with one session, or without."""

    def __init__(self, http: aiohttp.ClientSession, portal: str, session: str | None) -> None:
        self._http = http
        self._portal = portal
        self._cookie = {"Cookie": f"sessionid={session}"} if session else {}

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Reply:
        """Send a GET; redirects are not followed. Underscores in header names stand for dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._cookie
        async with self._http.request(
            method, self._portal + path, headers=sent, allow_redirects=False
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get_dated(self, path: str, patience: float = 15) -> Reply:
        """Repeat a GET until the response has an age: a freshly started system first compares its
        heads.
        """
        until = time.monotonic() + patience
        while "Portal-As-Of" not in (reply := await self.get(path)).headers:
            assert time.monotonic() < until, f"{path} does not say how old it is: {reply.headers}"
            await asyncio.sleep(0.1)
        return reply


class Portal:
    """The whole system as a test sees it."""

    def __init__(self, stack: Stack, writer: Writer, http: aiohttp.ClientSession) -> None:
        found = stack.description
        self.stack = stack
        self.writer = writer
        self.time_zone: str = found["time_zone"]
        self.databases: dict[str, str] = found["postgres"]
        self.places = Places(
            writer_database=found["postgres"]["writer"],
            portal_database=found["postgres"]["portal"],
            redis=found["redis"],
            kafka=found["kafka"],
            topic=found["topic"],
            time_zone=found["time_zone"],
        )
        self._http = http
        self._portal: str = found["urls"]["portal"]

    async def customers(self, count: int) -> list[int]:
        """Create customers of this test only."""
        made = [next(_customers) for _ in range(count)]
        for customer_id in made:
            await self.writer.put_customer(customer_id, {"name": f"Fleet {customer_id}"})
        return made

    async def visitors(self, *customers: int | None) -> list[Visitor]:
        """Sign in one visitor for each customer (None: a user without a customer)."""
        sessions = await open_sessions(self.databases["gateway"], customers)
        return [Visitor(self._http, self._portal, session) for session in sessions]

    def nobody(self) -> Visitor:
        """Return a visitor who is not signed in."""
        return Visitor(self._http, self._portal, None)

    async def agreed(self, ids: Collection[int], patience: float = 60) -> dict[int, Folded]:
        """Wait for the projector, compare all hops, HTTP last; return the folds."""
        await settle.settled(self.places, ids, patience)
        folds = await agree(self.places, ids)
        await self._answers_agree(folds)
        return folds

    async def _answers_agree(self, folds: dict[int, Folded]) -> None:
        visitors = await self.visitors(*folds)
        for visitor, folded in zip(visitors, folds.values(), strict=True):
            expected = folded.counts(self.time_zone).bodies()
            for view, path in settle.PATHS.items():
                reply = await visitor.get(path, Portal_Min_Revision=str(folded.revision))
                assert (reply.status, reply.body) == (200, expected[view]), (
                    f"HTTP {path}, {folded.customer_id}"
                )
                assert int(reply.headers["Portal-Revision"]) == folded.revision

    async def present(self, ids: Collection[int]) -> int:
        """Count in SQL the repairs of these customers that have not been removed."""
        async with hops.connected(self.databases["writer"]) as connection:
            counted = await connection.fetchval(
                "SELECT count(*) FROM writer.repair WHERE NOT removed AND customer_id = ANY($1)",
                list(ids),
            )
        return int(counted)


@pytest.fixture
async def portal(stack: Stack) -> AsyncIterator[Portal]:
    """Return the running system with a caller for its writer and visitors for its portal."""
    found = stack.description
    async with (
        Writer(found["urls"]["writer"], found["internal_key"], connections=32) as writer,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        yield Portal(stack, writer, http)
