"""The end of a session and its customer, and the endpoint that prolongs it by one idle time.

A read of the end does not count as use of the session. Streams and requests that a page's script
sends by itself do not count either. So a page that is left open is signed out like a closed one. A
person prolongs the session with any click, or with a POST to this endpoint.
"""

import orjson

from gateway import store
from gateway.answers import VARY_COOKIE, Answer
from gateway.store import Visitor
from service_runtime.clock import Clock, rfc3339

_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-store"),
    VARY_COOKIE,
]


class SessionAnswers:
    """Responses about the end of the session."""

    def __init__(self, pool: store.Pool, clock: Clock, *, idle_seconds: float) -> None:
        self._pool = pool
        self._clock = clock
        self._idle = idle_seconds

    async def answer(self, visitor: Visitor, *, prolong: bool) -> Answer:
        """Return the session's end and its customer as JSON; with `prolong`, prolong it first.

        The end may be up to a minute too early, because uses are written once a minute.
        """
        if prolong:
            await store.touch_sessions(self._pool, [visitor.id_hash], self._idle)
        ends_at = await store.read_session_end(self._pool, visitor.id_hash, self._idle)
        now = self._clock.now()
        ends_at = now if ends_at is None else ends_at  # it was ended a moment ago
        said = {
            "ends_in": max(0, int((ends_at - now).total_seconds())),
            "ends_at": rfc3339(ends_at),
            # As text: JavaScript's JSON.parse keeps 53 bits of a number.
            "customer": None if visitor.customer_id is None else str(visitor.customer_id),
        }
        return Answer(200, list(_HEADERS), orjson.dumps(said))
