"""Responses from the tables: each from one snapshot, which its headers name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import orjson
from fastapi import Request
from fastapi.responses import Response

from portal_access.token import Identity
from portal_query.api.answers import (
    MIN_REVISION_HEADER,
    REFOLD_HEADER,
    is_known,
    not_now,
    not_reached,
    state_headers,
    wanted_of,
)
from portal_query.api.live import Revisions
from portal_query.document import State
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection, Pool
from portal_query.read_model.documents import ReadModelAwayError, in_time
from service_runtime.clock import Clock
from service_runtime.errors import OverloadedError
from service_runtime.headers import joined
from service_runtime.postgres import ACQUIRE_SECONDS

#: Limit of responses from the tables, so that the counts keep connections.
_AT_ONCE: Final = 4

Show = Callable[[Connection, State], Awaitable[object]]


class Snapshots:
    """Serves JSON from the tables; one instance a process."""

    def __init__(self, pool: Pool, *, revisions: Revisions, clock: Clock) -> None:
        self._pool = pool
        self._revisions = revisions
        self._clock = clock
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, request: Request, what: str, show: Show, *, also: str = "") -> Response:
        """Return the result of `show` as a response, or 304 when the caller holds it.

        `also` names a further dependency beside the customer's events; it is part of the tag.
        Raises Problem (503) when the tables cannot be read now (it names `what`) or have not
        reached `Portal-Min-Revision`.
        """
        customer_id = customer_of(request)
        known = joined(request.scope["headers"], b"if-none-match")
        await self.await_revision(request, what)
        try:
            state, value = await in_time(self._load(customer_id, known, show, also))
        except ReadModelAwayError as error:
            raise not_now(what, error) from error
        headers = self.headers(state)
        if value is None:
            return Response(status_code=304, headers=headers)
        return Response(orjson.dumps(value), headers=headers, media_type="application/json")

    async def await_revision(self, request: Request, what: str) -> None:
        """Wait for the revision that the request names. Raises Problem (400, 503)."""
        given = dict(request.headers.raw)
        wanted = wanted_of(given.get(MIN_REVISION_HEADER), given.get(REFOLD_HEADER))
        if wanted is None:
            return
        try:
            if not await self._revisions.reached(customer_of(request), wanted):
                raise not_reached(wanted)
        except ReadModelAwayError as error:
            raise not_now(what, error) from error

    def headers(self, state: State) -> dict[str, str]:
        """Return the headers of a response in this state."""
        found = state_headers(state, self._clock.now())
        return {name.decode(): text.decode() for name, text in found}

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection with one snapshot for all its statements.

        Raises OverloadedError when all places stay taken for too long.
        """
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await self._room.acquire()
        except TimeoutError as error:
            raise OverloadedError(f"{_AT_ONCE} answers are read from the tables") from error
        try:
            async with store.snapshot(self._pool) as connection:
                yield connection
        finally:
            self._room.release()

    async def _load(
        self, customer_id: int, known: bytes | None, show: Show, also: str
    ) -> tuple[State, object]:
        async with self.connection() as connection:
            state = await store.load_state(connection, customer_id)
            if also:
                state = replace(state, tag=f"{state.tag}.{also}")
            if is_known(known, state.tag):
                return state, None
            return state, await show(connection, state)


def customer_of(request: Request) -> int:
    """Return the customer that the gateway's token names: the only source of a customer id."""
    identity: Identity = request.state.identity
    return identity.customer_id
