"""Downloads: whole lists as files, over connections of their own, bounded in number and in time.

A download that has begun ends with its last line or at its time limit. If the service breaks off,
the connection is cut, so that a client can detect an incomplete file.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from gateway.answers import TOO_MANY, Answer, Headers, retry_after
from gateway.proxy import LongAnswer, Proxy, ServiceRefusedError
from gateway.routes import Route
from gateway.store import Visitor
from gateway.upstream import Call, Reply

IN_ALL: Final = 8
PER_CUSTOMER: Final = 2
SECONDS: Final = 600.0
#: A service builds the whole file before it sends the first byte.
HEAD_SECONDS: Final = 60.0


class Downloads:
    """A forwarder of downloads; `proxy` uses a connection pool that nothing else uses."""

    def __init__(self, proxy: Proxy, *, seconds: float = SECONDS) -> None:
        self._proxy = proxy
        self._seconds = seconds
        self._open: Counter[int | None] = Counter()

    async def forward(self, visitor: Visitor, call: Call, route: Route) -> Answer | LongAnswer:
        """Return the service's response.

        Raises ServiceRefusedError, also if the customer already has two downloads in progress
        (429).
        """
        customer = visitor.customer_id
        if self._open[customer] >= PER_CUSTOMER:
            raise ServiceRefusedError(TOO_MANY, [retry_after(10)])
        self._open[customer] += 1
        try:
            answer = await self._proxy.forward(call, route)
        except BaseException:
            self._leave(customer)
            raise
        if isinstance(answer, LongAnswer):
            counted = _Counted(answer.reply, lambda: self._leave(customer))
            return replace(answer, reply=counted, seconds=self._seconds)
        self._leave(customer)
        return answer

    def _leave(self, customer: int | None) -> None:
        self._open[customer] -= 1
        if not self._open[customer]:
            del self._open[customer]


class _Counted:
    """A reply that calls `on_close` once, when it is closed."""

    def __init__(self, reply: Reply, on_close: Callable[[], None]) -> None:
        self._reply = reply
        self._on_close: Callable[[], None] | None = on_close

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def headers(self) -> Headers:
        return self._reply.headers

    async def beginning(self, limit: int) -> tuple[bytes, bool]:
        return await self._reply.beginning(limit)

    def chunks(self) -> AsyncIterator[bytes]:
        return self._reply.chunks()

    def close(self) -> None:
        self._reply.close()
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
