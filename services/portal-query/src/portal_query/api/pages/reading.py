"""First step of every page: wait for the visitor's own change, then read one snapshot."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from portal_query.api.answers import Wanted, lag_seconds
from portal_query.api.live import Revisions
from portal_query.api.snapshots import Snapshots
from portal_query.document import State
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection
from portal_query.read_model.documents import in_time
from service_runtime.clock import Clock

STALE_SECONDS: Final = 60
_MAX_DIGITS: Final = 18

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Read(Generic[Value]):
    """Content of a page, with its state.

    `stale`: the state is known to be old. `arrived`: the visitor's own change is included.
    """

    state: State
    value: Value
    stale: bool
    arrived: bool


class Reader:
    """Reads the tables for pages; one instance a process."""

    def __init__(self, snapshots: Snapshots, revisions: Revisions, clock: Clock) -> None:
        self._snapshots = snapshots
        self._revisions = revisions
        self._clock = clock

    async def read(
        self,
        customer_id: int,
        seen: int | None,
        load: Callable[[Connection], Awaitable[Value]],
    ) -> Read[Value]:
        """Wait up to two seconds for revision `seen`, then return the result of `load`.

        Raises ReadModelAwayError.
        """
        arrived = seen is None or await self._revisions.reached(customer_id, Wanted(seen))
        state, value = await in_time(self._load(customer_id, load))
        as_of, now = state.as_of, self._clock.now()
        stale = as_of is not None and lag_seconds(as_of, now) > STALE_SECONDS
        return Read(state, value, stale, arrived)

    async def _load(
        self, customer_id: int, load: Callable[[Connection], Awaitable[Value]]
    ) -> tuple[State, Value]:
        async with self._snapshots.connection() as connection:
            return await store.load_state(connection, customer_id), await load(connection)


def revision_of(text: str | None) -> int | None:
    """Return the revision that an address names as seen; None for other text."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    return int(text)
