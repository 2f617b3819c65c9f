"""The audit trail: a log line at once, and a table row soon after.

The queue is bounded, and rows are written off the request's path. An unavailable store may cost
rows of the table (a metric counts them), but it delays no response. The log line is always written.
Events that a stranger can cause at will have 60 rows a minute. One more row holds the number of
events beyond that.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from gateway import store
from gateway.metrics import AUDIT_LOST
from service_runtime.clock import Clock
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure

_QUEUE: Final = 2_000
_BATCH: Final = 200
_EVERY_SECONDS: Final = 0.5
_MAX_TEXT: Final = 200
_STRANGERS_A_MINUTE: Final = 60


class Audit:
    """A queue of events and their writer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[store.AuditEvent] = deque()
        self._minute = 0
        self._of_strangers = 0

    def note(
        self,
        kind: str,
        outcome: str,
        *,
        request_id: str,
        peer: str,
        user_id: int | None = None,
        session: str | None = None,
        by_stranger: bool = False,
        **details: Any,
    ) -> None:
        """Log an event and queue its row; texts in details are cut to 200 characters each.

        `by_stranger` marks an event that strangers can cause at will.
        """
        short = {name: _short(value) for name, value in details.items() if value is not None}
        get().info(
            "audit",
            kind=kind,
            outcome=outcome,
            request_id=request_id,
            peer=peer,
            user_id=user_id,
            session=session,
            **short,
        )
        if by_stranger and not self._has_room():
            return
        self._add(kind, outcome, request_id, peer, user_id, session, short or None)

    def _add(self, *fields: Any) -> None:
        if len(self._waiting) >= _QUEUE:
            AUDIT_LOST.inc()
            return
        self._waiting.append(store.AuditEvent(self._clock.now(), *fields))

    def _has_room(self) -> bool:
        self._begin_minute()
        self._of_strangers += 1
        return self._of_strangers <= _STRANGERS_A_MINUTE

    def _begin_minute(self) -> None:
        minute = int(self._clock.monotonic() // 60)
        if minute == self._minute:
            return
        left_out = self._of_strangers - _STRANGERS_A_MINUTE
        self._minute, self._of_strangers = minute, 0
        if left_out > 0:
            self._add("audit", "left-out", "", "", None, None, {"events": left_out})

    async def write(self, pool: store.Pool, beat: Callable[[], None]) -> None:
        """Write the queued events twice a second, until it is cancelled."""
        while True:
            beat()
            await asyncio.sleep(_EVERY_SECONDS)
            await self.write_waiting(pool)

    async def write_waiting(self, pool: store.Pool) -> None:
        """Write the queued events now; keep those that cannot be written."""
        self._begin_minute()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                await store.append_audit(pool, batch)
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                self._waiting.extendleft(reversed(batch))
                get().warning("audit-waits", events=len(self._waiting), error=repr(error))
                return


def _short(value: Any) -> Any:
    return value[:_MAX_TEXT] if isinstance(value, str) else value
