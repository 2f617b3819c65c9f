"""An upgrade under load: first the new tables, then a restart of each process, without failed
requests.

The tables change as a migration may change them without a pause: columns, an index, a new table.
The present code then is the code of the previous release, and must keep working.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
from deploy.local import postgres
from tests.oracle.sessions import open_sessions
from tests.oracle.settle import PATHS, eventually
from tests.system.commands import World
from tests.system.test_backup import done
from tests.system.test_random_commands import check_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.system.conftest import Portal

PROCESSES = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")
SCHEMAS = ("writer", "portal", "gateway")
READ = ("/customer/dashboard/", *PATHS.values())
TOKEN = "u" * 32


class Customers:
    """Customers that read and sometimes request a repair; failed responses are recorded."""

    def __init__(self, portal: Portal, sessions: list[str]) -> None:
        self._url = portal.stack.description["urls"]["portal"]
        self._sessions = sessions
        self.served: Counter[str] = Counter()
        self.failed: list[str] = []
        self.during = "the beginning"

    async def run_until(self, over: asyncio.Event) -> None:
        """Send requests until `over` is set."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            await asyncio.gather(
                *(self._read(http, session, over) for session in self._sessions),
                self._ask_for_repairs(over),
            )

    async def _read(self, http: aiohttp.ClientSession, session: str, over: asyncio.Event) -> None:
        # A GET on a dead kept connection opens a new one, as browsers do.
        while not over.is_set():
            for path in READ:
                cookie = {"Cookie": f"sessionid={session}"}
                await self._note(http.get(self._url + path, headers=cookie, allow_redirects=False))
            await asyncio.sleep(0.02)

    async def _ask_for_repairs(self, over: asyncio.Event) -> None:
        headers = {
            "Cookie": f"sessionid={self._sessions[0]}; csrftoken={TOKEN}",
            "X-CSRFToken": TOKEN,
            "Origin": self._url,
        }
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=connector, headers=headers
        ) as http:
            while not over.is_set():
                visit = {"unit_number": "U1", "breaks": [{"damage_type": "star break"}]}
                key = {"Idempotency-Key": secrets.token_hex(8)}
                url = f"{self._url}/customer/api/repairs/"
                await self._note(http.post(url, json=visit, headers=key))
                await asyncio.sleep(0.05)

    async def _note(self, asked: Any) -> None:
        try:
            async with asked as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            self.failed.append(f"{self.during}: {error!r}")
            return
        if answer.status in {200, 201}:
            self.served[answer.method] += 1
        else:
            self.failed.append(f"{self.during}: {answer.method} {answer.status} {body[:200]!r}")


@asynccontextmanager
async def wider_tables(portal: Portal) -> AsyncIterator[None]:
    """Change every schema as the next release may; restore it afterwards."""
    system = portal.stack.system
    at = postgres.url(postgres.SUPERUSER, system.cluster.password, system.ports["postgres"])
    owner = await asyncpg.connect(at)
    tables = await owner.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1) AND tablename <> 'alembic_version'",
        list(SCHEMAS),
    )
    names = [f'{row["schemaname"]}."{row["tablename"]}"' for row in tables]
    versions = {
        schema: await owner.fetchval(f"SELECT version_num FROM {schema}.alembic_version")
        for schema in SCHEMAS
    }
    try:
        for schema in SCHEMAS:
            await owner.execute(
                f"CREATE TABLE {schema}.of_the_next_release (id bigint PRIMARY KEY)"
            )
            await owner.execute(f"UPDATE {schema}.alembic_version SET version_num = '9999'")
        for name in names:
            await owner.execute(
                f"ALTER TABLE {name} ADD COLUMN next_one text, ADD COLUMN next_two bigint NOT NULL DEFAULT 7"
            )
            await owner.execute(f"CREATE INDEX ON {name} (next_two)")
        yield
    finally:
        for name in names:
            await owner.execute(
                f"ALTER TABLE {name} DROP COLUMN IF EXISTS next_one, DROP COLUMN IF EXISTS next_two"
            )
        for schema, version in versions.items():
            await owner.execute(f"DROP TABLE IF EXISTS {schema}.of_the_next_release")
            await owner.execute(f"UPDATE {schema}.alembic_version SET version_num = $1", version)
        await owner.close()


async def test_an_upgrade_is_seen_by_nobody_and_loses_nothing(portal: Portal) -> None:
    ids = await portal.customers(10)
    world = World(portal.writer, ids, 11, secrets.token_hex(4))
    visitors = await portal.customers(3)
    sessions = await open_sessions(portal.databases["gateway"], visitors)
    customers, over = Customers(portal, sessions), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        load = group.create_task(world.run_until(over, 3))
        group.create_task(customers.run_until(over))
        try:
            customers.during = "the migration"
            async with wider_tables(portal):
                for name in PROCESSES:
                    customers.during = f"the restart of {name}"
                    await _more(world, customers)
                    await done(portal, "restart", name)
                customers.during = "the end"
                await _more(world, customers)
        finally:
            over.set()
    assert load.result().changes
    assert customers.served["POST"]
    assert not customers.failed, (len(customers.failed), customers.failed[:10], customers.served)
    await check_world(portal, world, ids)
    await portal.agreed(visitors)


async def _more(world: World, customers: Customers) -> None:
    """Wait until commands and reads have progressed."""
    commands, reads = len(world.acks.changes) + 20, customers.served["GET"] + 20

    async def gone_on() -> bool:
        return len(world.acks.changes) >= commands and customers.served["GET"] >= reads

    await eventually(gone_on, "the load goes on")
