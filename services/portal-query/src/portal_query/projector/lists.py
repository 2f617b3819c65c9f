"""The client of the writer: its progress, its heads, and a customer's stream.

It decides nothing. Every failure to get a usable answer raises `WriterAwayError`: the caller
retries.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Self

import aiohttp
import msgspec

from repair_events.topic import MAX_EVENT_BYTES
from service_runtime.clock import rfc3339

_CONNECT_SECONDS: Final = 1.0
_READ_SECONDS: Final = 10.0
_PAGE: Final = 1_000
_CHUNK: Final = 256 * 1024
#: Any 404 may come from a wrong address. Only this problem code means that there is no stream.
_UNKNOWN: Final = b"customer-unknown"
#: A header with the last revision of the stream, sent before the first line.
_REVISION: Final = "Portal-Revision"


class WriterAwayError(Exception):
    """A writer that gave no answer, or one outside the agreed format."""


class UnknownCustomerError(Exception):
    """A customer without a stream at the writer."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The end of a customer's stream."""

    customer_id: int
    revision: int
    event_id: str
    changed_at: datetime


class HeadPage(msgspec.Struct, frozen=True):
    """Heads, ascending by customer id. The next page begins after `next_after`, None at the end."""

    heads: list[Head]
    next_after: int | None


class Progress(msgspec.Struct, frozen=True):
    """The writer's progress: a change before `sent_until` is on Kafka or was refused for good.

    `refused_rows` is the number of refused events.
    """

    sent_until: datetime
    refused_rows: int = 0


_progress = msgspec.json.Decoder(Progress)
_heads = msgspec.json.Decoder(HeadPage)


class WriterLists:
    """An HTTP session with the writer. `async with` opens and closes it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
            ),
            connector=aiohttp.TCPConnector(limit=16),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def progress(self) -> Progress:
        """Return how far the writer's changes are on Kafka. Raises WriterAwayError."""
        async with self._get("/v1/progress", {}) as response:
            try:
                return _progress.decode(await response.read())
            except msgspec.DecodeError as error:
                raise WriterAwayError(f"/v1/progress is not as agreed: {error}") from error

    async def heads(
        self, *, after: int = 0, changed_since: datetime | None = None, limit: int = _PAGE
    ) -> HeadPage:
        """Return a page of heads, of all customers or of those changed since a time.

        Raises WriterAwayError.
        """
        asked = {"after": str(after), "limit": str(limit)}
        if changed_since is not None:
            asked["changed_since"] = rfc3339(changed_since)
        async with self._get("/v1/heads", asked) as response:
            try:
                return _heads.decode(await response.read())
            except msgspec.DecodeError as error:
                raise WriterAwayError(f"/v1/heads is not as agreed: {error}") from error

    async def events(self, customer_id: int, *, after: int = 0) -> AsyncGenerator[list[bytes]]:
        """Yield a customer's events above revision `after`, in order, several JSON lines at a time.

        Raises UnknownCustomerError when there is no such stream, else WriterAwayError.
        """
        path = f"/v1/customers/{customer_id}/events"
        async with self._get(path, {"after": str(after)}) as response:
            expected = int(response.headers.get(_REVISION, "0")) - after
            rest = b""
            async for chunk in response.content.iter_chunked(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > 2 * MAX_EVENT_BYTES:
                    raise WriterAwayError(f"{path} has a line without end")
                whole = [line for line in lines if line]
                expected -= len(whole)
                if whole:
                    yield whole
            if rest or expected > 0:
                raise WriterAwayError(f"{path} ended too early")

    @asynccontextmanager
    async def _get(self, path: str, query: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("use `async with`")
        try:
            async with self._session.get(
                self._url + path, params=query, allow_redirects=False
            ) as response:
                if response.status == 404 and _UNKNOWN in await response.read():  # noqa: PLR2004
                    raise UnknownCustomerError(path)
                if response.status != 200:  # noqa: PLR2004
                    raise WriterAwayError(f"{path} answers {response.status}")
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise WriterAwayError(f"{path}: {type(error).__name__} {error}") from error
