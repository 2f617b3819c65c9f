"""Fixtures for every ring: real servers, a fresh database, a fresh topic, and the whole system.

Servers come from containers where an engine holds their images, from the local binaries elsewhere; a test does not
notice. Each is started at its first use and serves the whole run.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from deploy.local import borrowed, credentials, postgres, ring_times, whole
from deploy.local.ring_times import RINGS, ring_of
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator


pytest_addoption = ring_times.pytest_addoption
pytest_configure = ring_times.pytest_configure
# A busy machine is slow, not wrong: no property has a deadline.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
MIGRATED_BY = {"writer": "repair-writer", "portal": "portal-query", "gateway": "gateway"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the chosen rings from the inside out; within a ring the order stays as random as it was."""
    ring_times.arrange(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Forbid unit tests the network: what needs it belongs to another ring."""
    if ring_of(item.path) != RINGS.index("unit"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        return (yield)


def _refuse(_: socket.socket, address: object) -> NoReturn:
    message = f"a unit test tried to reach {address}; move it to tests/integration"
    raise AssertionError(message)


@dataclass(frozen=True)
class Database:
    """A database of one test, with the addresses of its four roles and of its owner (the superuser)."""

    name: str
    owner_url: str
    writer_url: str
    portal_url: str
    query_url: str
    gateway_url: str


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the address of a PostgreSQL 18 for its superuser."""
    with borrowed.postgres_url() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """Return the name of a database with all roles, schemas and tables, of which each test gets a copy."""
    name = f"template_{secrets.token_hex(4)}"
    _admin(postgres_server, f'CREATE DATABASE "{name}"')
    found = _database(postgres_server, name)
    _run(_create_roles(found.owner_url))
    for role, command in MIGRATED_BY.items():
        borrowed.migrate(command, {f"{role.upper()}_DATABASE_URL": getattr(found, f"{role}_url")})
    yield name
    _admin(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database(postgres_server: str, migrated_template: str) -> Iterator[Database]:
    """Return a fresh database with every service's tables, empty."""
    name = f"test_{secrets.token_hex(6)}"
    # A copy of the files costs half the time of writing each block to the log as well.
    copy = f'TEMPLATE "{migrated_template}" STRATEGY FILE_COPY'
    _admin(postgres_server, f'CREATE DATABASE "{name}" {copy}')
    yield _database(postgres_server, name)
    _admin(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """Return the address of a Valkey."""
    with borrowed.valkey_url() as url:
        yield url


@pytest.fixture
def redis_url(valkey_server: str) -> str:
    """Return the address of a Valkey that holds nothing."""
    with redis.Redis.from_url(valkey_server) as client:
        client.flushdb()
    return valkey_server


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """Return the bootstrap servers of an Apache Kafka."""
    with borrowed.kafka_servers() as servers:
        yield servers


@pytest.fixture
def topic() -> str:
    """Return the name of a topic that does not exist yet."""
    return f"repair-events-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def stack() -> Iterator[whole.Stack]:
    """Return the whole system, started as `./dev up` starts it, in a folder and on ports of its own."""
    with whole.started() as running:
        yield running


def _database(server: str, name: str) -> Database:
    at = urlsplit(server)
    urls = {role: _url(server, role, role, name) for role in credentials.ROLES}
    return Database(
        name=name,
        owner_url=_url(server, at.username or postgres.SUPERUSER, at.password or "", name),
        **{f"{role}_url": url for role, url in urls.items()},
    )


def _url(server: str, user: str, password: str, name: str) -> str:
    at = urlsplit(server)
    return f"postgresql://{user}:{password}@{at.hostname}:{at.port}/{name}"


def _admin(server: str, sql: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    _run(execute())


async def _create_roles(owner_url: str) -> None:
    # Roles are the server's, so all tests on one server have to agree on passwords: a role's is its name.
    settings = {f"rswind.{role}_password": role for role in credentials.ROLES}
    connection = await asyncpg.connect(owner_url, server_settings=settings)
    try:
        await connection.execute(postgres.ROLES_SQL.read_text())
    finally:
        await connection.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    # In a thread of its own: a test's event loop may be at work in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
