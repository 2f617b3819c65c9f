"""A service behind the gateway, as one small interface: a call goes out, a reply comes back.

What can go wrong has three names: the service is away (nothing was begun, or a reading may be
begun again), it is late, or what it says cannot be used. A change is sent at most once.
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
    """The service cannot be reached, or did not answer in time."""


class UpstreamBusyError(UpstreamAwayError):
    """All our connections to the service are in use."""


class UpstreamBrokenError(Exception):
    """The service's answer breaks off, or breaks the protocol."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a service; `headers` are complete but for Host and Content-Length.

    `body` None means a request without one. `seconds` bounds the whole answer.
    """

    method: str
    target: bytes
    headers: Headers
    body: bytes | None = None
    seconds: float = 10.0

    @property
    def may_repeat(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return self.method == "GET"


class Reply(Protocol):
    """An answer whose head has arrived. Read it to its end, or close it."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers, names in lower case, as sent."""
        ...

    async def beginning(self, limit: int) -> tuple[bytes, bool]:
        """Return the body's first bytes, some more than `limit` at most, and whether that is all.

        Raises UpstreamAwayError (late) or UpstreamBrokenError, also for a body that breaks off.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the rest of the body as it comes; raises as `beginning`."""
        ...

    def close(self) -> None:
        """Give it up; a connection in the midst of an answer is not used again."""
        ...


class Upstream(Protocol):
    """One service."""

    async def send(self, call: Call) -> Reply:
        """Ask, and return when the head of the answer is there.

        Raises UpstreamAwayError or UpstreamBrokenError.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
