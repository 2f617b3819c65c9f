"""The verification: compares a customer's rows with a new fold of its stream, and writes nothing.

One transaction sees the rows as they were at its start. So the stream is read once, however much
the customer changes meanwhile.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from portal_query.counting import Tally
from portal_query.projector.listed import Listed, UnfoldableError
from portal_query.projector.lists import UnknownCustomerError, WriterAwayError, WriterLists
from portal_query.read_model import replacing, standing
from portal_query.read_model.postgres import Connection, Line
from portal_query.read_model.rows import pack
from portal_query.read_model.standing import Standing
from repair_events.month import Months, fold_version

#: Longest silence of the stream: Postgres ends a transaction that idles for thirty seconds.
_SILENCE_SECONDS: Final = 20.0


class Verifier:
    """A worker that verifies one customer at a time, over one connection."""

    def __init__(self, line: Line, lists: WriterLists, time_zone: str) -> None:
        self._line = line
        self._lists = lists
        self._months = Months(time_zone)
        self._fold_version = fold_version(time_zone)

    async def differences(self, customer_id: int) -> list[str]:
        """Return the differences between a customer's rows and its stream at their revision.

        Each is one text. The list is empty when both agree. Raises WriterAwayError, or what
        Postgres raises.
        """
        async with (
            self._line.connection() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            held = (await standing.standing(connection, [customer_id])).get(customer_id)
            if held is None:
                return ["not in the read model"]
            listed = await self._listed(connection, held)
            return await self._compare(connection, held, listed)

    async def _listed(self, connection: Connection, held: Standing) -> Listed:
        """Read and stage the stream up to the customer's revision."""
        listed = Listed(held.customer_id, Tally(self._months))
        await replacing.clear_stage(connection)
        try:
            async with aclosing(self._lists.events(held.customer_id)) as events:
                while lines := await _next(events):
                    wanted = lines[: held.revision - listed.revision]
                    rows = [row for line in wanted if (row := listed.take(line)) is not None]
                    # Stage an empty list too: a statement prevents the transaction from idling.
                    await replacing.stage(connection, pack(rows))
                    if listed.revision >= held.revision:
                        break
        except UnknownCustomerError:
            listed.trouble = "the writer has no such list"
        except UnfoldableError as error:
            listed.trouble = str(error)
        return listed

    async def _compare(self, connection: Connection, held: Standing, listed: Listed) -> list[str]:
        """Return the differences, one text each."""
        found = [] if listed.trouble is None else [listed.trouble]
        if held.parked:
            found.append("parked")
        if held.fold_version != self._fold_version:
            found.append(f"folded by rule {held.fold_version}")
        if (listed.revision, listed.event_id) != (held.revision, held.event_id):
            found.append(f"the list ends at {listed.revision}, the rows say {held.revision}")
        differences = await replacing.find(connection, held.customer_id, listed.tally.counts())
        rows = {
            "repair": differences.repairs,
            "repair_history": differences.history,
            "repair_count": len(differences.wrong),
        }
        return found + [f"{table}: {n} wrong" for table, n in rows.items() if n]


async def _next(events: AsyncGenerator[list[bytes]]) -> list[bytes]:
    """Return the next lines, none at the end. Raise WriterAwayError after `_SILENCE_SECONDS`."""
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(events, [])
    except TimeoutError as error:
        raise WriterAwayError(f"the list stood still for {_SILENCE_SECONDS:g} s") from error
