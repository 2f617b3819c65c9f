"""Waiting with a deadline: for a condition, or for all changes to arrive."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from tests.oracle import hops
from tests.oracle.compare import Places

PATHS = {
    "units": "/customer/api/unit-repair-data/",
    "months": "/customer/api/repair-cost-data/",
    "statuses": "/customer/api/repair-status-data/",
}


async def eventually(
    holds: Callable[[], Awaitable[object]], what: str, patience: float = 30
) -> None:
    """Repeat until the condition holds.

    Raises AssertionError with the last result after the deadline.
    """
    end = time.monotonic() + patience
    while True:
        found = await holds()
        if found:
            return
        assert time.monotonic() < end, f"{what}: not within {patience:.0f} s, last {found!r}"
        await asyncio.sleep(0.05)


async def settled(places: Places, ids: Collection[int], patience: float = 60) -> None:
    """Wait until the projector's customers reach the writer's heads, and Redis shows the same.

    Raises AssertionError naming those that do not.
    """
    behind: list[str] = []

    async def caught_up() -> bool:
        behind[:] = [
            *await _behind(places, ids),
            *([] if behind and "portal" in behind[0] else await _old_documents(places, ids)),
        ]
        return not behind

    try:
        await eventually(caught_up, "all hops at the writer's heads", patience)
    except AssertionError as late:
        raise AssertionError(f"{late}: {behind[:5]}") from None


async def _behind(places: Places, ids: Collection[int]) -> list[str]:
    written = await _heads(places.writer_database, "writer", ids)
    folded = await _heads(places.portal_database, "portal", ids)
    return [
        f"portal {n}: {folded.get(n)} of {head}"
        for n, head in written.items()
        if folded.get(n) != head
    ]


async def _old_documents(places: Places, ids: Collection[int]) -> list[str]:
    folded = await _heads(places.portal_database, "portal", ids)
    found = await hops.documents(places.redis, ids)
    return [
        f"redis {n}: {document[b'revision']!r} of {folded.get(n)}"
        for n, document in found.items()
        if document[b"revision"] != str(folded.get(n)).encode()
    ]


async def _heads(url: str, schema: str, ids: Collection[int]) -> dict[int, int]:
    async with hops.connected(url) as connection:
        rows = await connection.fetch(
            f"SELECT customer_id, revision FROM {schema}.customer WHERE customer_id = ANY($1)",
            list(ids),
        )
    return {row["customer_id"]: row["revision"] for row in rows}
