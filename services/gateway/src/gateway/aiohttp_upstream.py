"""Calls to a service by aiohttp's client, for streams that stay open for hours."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from gateway.upstream import (
    CONNECT_SECONDS,
    FIRST_BYTE_SECONDS,
    MAX_HEADER_BYTES,
    POOL_WAIT_SECONDS,
    Call,
    Headers,
    UpstreamAwayError,
    UpstreamBrokenError,
)

_OURS_ALONE: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class AiohttpReply:
    """A response in progress on one of the session's connections."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = [(name.lower(), value) for name, value in response.raw_headers]

    async def beginning(self, limit: int) -> tuple[bytes, bool]:
        """Return the body's first bytes, and whether that is all."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                return b"".join(parts), False
        return b"".join(parts), True

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body as it arrives."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError as error:
            raise UpstreamAwayError("late") from error
        except aiohttp.ClientError as error:
            raise UpstreamBrokenError(repr(error)) from error

    def close(self) -> None:
        """Give the response up."""
        self._response.close()


class AiohttpUpstream:
    """A service, called through a connection pool of its own.

    `idle_seconds` is the longest silence within a response.
    """

    def __init__(self, url: str, *, connections: int, idle_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._idle = idle_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_OURS_ALONE,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    async def send(self, call: Call) -> AiohttpReply:
        """Send a call; return when the head of the response has arrived.

        Raises UpstreamAwayError or UpstreamBrokenError.
        """
        headers = CIMultiDict(
            (name.decode(), value.decode("latin-1")) for name, value in call.headers
        )
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                response = await self._session.request(
                    call.method,
                    URL(self._url + call.target.decode(), encoded=True),
                    headers=headers,
                    data=call.body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        connect=POOL_WAIT_SECONDS + CONNECT_SECONDS,
                        sock_connect=CONNECT_SECONDS,
                        sock_read=self._idle,
                    ),
                )
        except (TimeoutError, aiohttp.ClientConnectionError) as error:
            raise UpstreamAwayError(repr(error)) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise UpstreamBrokenError(repr(error)) from error
        return AiohttpReply(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
