"""The interface to a service behind the gateway: it sends a call and returns a reply.

There are three kinds of failure. The service is unavailable: no work was begun, or a read may be
repeated. Its response is late. Its response cannot be used. A change is sent at most once.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

Headers = list[tuple[bytes, bytes]]

CONNECT_SECONDS: Final = 0.5
POOL_WAIT_SECONDS: Final = 0.25
FIRST_BYTE_SECONDS: Final = 5.0
CONNECTIONS: Final = 64
MAX_HEADER_BYTES: Final = 32_768


class UpstreamAwayError(Exception):
    """An error for a service that cannot be reached, or that sent no response in time."""


class UpstreamBusyError(UpstreamAwayError):
    """An error for a call while all connections to the service are in use."""


class UpstreamBrokenError(Exception):
    """An error for a response that breaks off, or that breaks the protocol."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a service; `headers` are complete except Host and Content-Length.

    With `body` None the request has no body. `seconds` bounds the whole response.
    """

    method: str
    target: bytes
    headers: Headers
    body: bytes | None = None
    seconds: float = 10.0

    @property
    def may_repeat(self) -> bool:
        """True if the call can be sent twice without further effect."""
        return self.method == "GET"


class Reply(Protocol):
    """A response whose head has arrived. Read it to its end, or close it."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers, names in lower case, as sent."""
        ...

    async def beginning(self, limit: int) -> tuple[bytes, bool]:
        """Return the body's first bytes, and whether that is all.

        They exceed `limit` by one chunk at most. Raises UpstreamAwayError (late) or
        UpstreamBrokenError, also for a body that breaks off.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the rest of the body as it arrives; raises as `beginning`."""
        ...

    def close(self) -> None:
        """Give the response up; its connection is not used again if the response is incomplete."""
        ...


class Upstream(Protocol):
    """A service that takes calls."""

    async def send(self, call: Call) -> Reply:
        """Send a call; return when the head of the response has arrived.

        Raises UpstreamAwayError or UpstreamBrokenError.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
