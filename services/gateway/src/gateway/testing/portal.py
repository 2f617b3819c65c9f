"""A whole gateway on real sockets, between a browser and two services that record."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

from gateway import admin_store, passwords, store
from gateway.audit import Audit
from gateway.front import Front
from gateway.settings import GatewaySettings
from gateway.streams import Streams
from gateway.testing.browser import Browser
from gateway.testing.served import served
from gateway.testing.wire import WireService
from gateway.visitor import Visitors
from service_runtime.access_log import AccessLog
from service_runtime.clock import Clock, SystemClock
from service_runtime.postgres import connect

PASSWORD: Final = "correct horse battery"  # noqa: S105 - of users that live for one test
KEYS_QUERY: Final = "k1:" + "q" * 40
KEYS_WRITER: Final = "k1:" + "w" * 40


class Built(Protocol):
    """The result of `gateway.main.build`."""

    app: Front
    pool: store.Pool
    visitors: Visitors
    streams: Streams
    audit: Audit
    log: AccessLog


Build = Callable[..., AbstractAsyncContextManager[Any]]


@cache
def stored_password() -> str:
    """Return the hash of PASSWORD, computed once."""
    return passwords.hash_password(PASSWORD)


@dataclass(frozen=True, slots=True)
class Portal:
    """A served gateway with its database and its two services."""

    url: str
    database_url: str
    query: WireService
    writer: WireService
    gateway: Built

    def browser(self, **headers: str) -> Browser:
        """Return a new browser without cookies."""
        return Browser(self.url, headers=headers)

    async def add_user(
        self, username: str = "anna", customer_id: int | None = 42, stored: str | None = None
    ) -> None:
        """Add a user with PASSWORD, or with the given hash."""
        connection = await connect(self.database_url, name="tests", connect_seconds=10)
        try:
            await admin_store.add_user(
                connection, username, f"{username}@fleet.test", stored or stored_password(),
                customer_id,
            )  # fmt: skip
        finally:
            await connection.close()

    async def signed_in(self, username: str = "anna", customer_id: int | None = 42) -> Browser:
        """Add a user and return a browser that has signed in."""
        await self.add_user(username, customer_id)
        return await self.sign_in(username)

    async def sign_in(self, username: str = "anna") -> Browser:
        """Return a new browser that has signed in. Raises AssertionError if the sign-in fails."""
        browser = self.browser()
        answered = await browser.sign_in(username, PASSWORD)
        if answered.status != 302:  # noqa: PLR2004
            raise AssertionError(f"signing in answered {answered.status}")
        return browser

    async def execute(self, sql: str, *values: object) -> list[Any]:
        """Run a statement as the gateway's role; return its rows."""
        connection = await connect(self.database_url, name="tests", connect_seconds=10)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()


def settings_for(
    database_url: str, query_url: str, writer_url: str, **changed: object
) -> GatewaySettings:
    """Return settings for plain http on the loopback, with the given changes."""
    return GatewaySettings.model_validate(
        {
            "ops_port": 0,
            "gateway_database_url": database_url,
            "query_url": query_url,
            "writer_url": writer_url,
            "identity_keys_query": KEYS_QUERY,
            "identity_keys_writer": KEYS_WRITER,
            "gateway_allowed_hosts": "portal.test",
            "gateway_cookie_secure": False,
            **changed,
        }
    )


@asynccontextmanager
async def portal(
    build: Build, database_url: str, *, clock: Clock | None = None, **changed: object
) -> AsyncIterator[Portal]:
    """Serve a gateway on a migrated database; `build` is `gateway.main.build`."""
    async with AsyncExitStack() as stack:
        query = await stack.enter_async_context(WireService())
        writer = await stack.enter_async_context(WireService())
        settings = settings_for(database_url, query.url, writer.url, **changed)
        gateway = await stack.enter_async_context(
            build(settings, clock or SystemClock(), failed_seconds=0.0, recheck_seconds=0.1)
        )
        url = await stack.enter_async_context(served(gateway.app, gateway.streams))
        yield Portal(url, database_url, query, writer, gateway)
