"""Downloads: whole lists as files, over connections of their own, a few at a time and not for ever.

A download that has begun ends by itself: with its last line, with its time, or cut when the
service breaks off, so that half a file never looks like a whole one.
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
#: A file is made whole before its first byte comes.
HEAD_SECONDS: Final = 60.0


class Downloads:
    """Passes downloads on; `proxy` asks over a pool that nothing else uses."""

    def __init__(self, proxy: Proxy, *, seconds: float = SECONDS) -> None:
        self._proxy = proxy
        self._seconds = seconds
        self._open: Counter[int | None] = Counter()

    async def forward(self, visitor: Visitor, call: Call, route: Route) -> Answer | LongAnswer:
        """Return the service's answer.

        Raises ServiceRefusedError, also when the customer has as many under way as are allowed.
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
    """A reply that says when it has been closed."""

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
