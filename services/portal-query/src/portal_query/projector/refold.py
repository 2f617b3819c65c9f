"""The rebuild of one customer from the writer's stream: the one repair for every fault.

A customer that agrees with its stream needs no rebuild. Otherwise the stream is read and staged,
and the differing rows are found, without any lock. One short transaction then replaces them, if the
customer was not written since reading began. If it was, the rest of the stream is read, and the
rebuild tries again. After `_FREE_READS` tries the differences are found under the lock. A customer
that is written all the time has the end of its stream read under the lock as well.
Readers see the customer before or after the rebuild, never between.
"""

import asyncio
import itertools
from collections.abc import Collection, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import Final

import msgspec

from portal_query.counting import Tally
from portal_query.projector import metrics
from portal_query.projector.arrived import Arrived
from portal_query.projector.batch import dead_letter, profile_of
from portal_query.projector.listed import Listed, UnfoldableError
from portal_query.projector.lists import UnknownCustomerError, WriterAwayError, WriterLists
from portal_query.read_model import folding, letters, replacing, standing
from portal_query.read_model.postgres import Connection, Line, is_data_error
from portal_query.read_model.replacing import Differences
from portal_query.read_model.rows import EventRow, pack
from portal_query.read_model.standing import Standing
from repair_events.month import Months, fold_version
from repair_events.repair import Customer

#: Tries without the lock, then the time limit of one read under the lock.
_FREE_READS: Final = 3
_LOCKED_READ_SECONDS: Final = 1.0
_NOT_LISTED: Final = "the writer's list does not hold this event"


class Outcome(StrEnum):
    """The result of a rebuild or a comparison. AGREES means that nothing was written."""

    AGREES = "agrees"
    THAWED = "thawed"
    REFOLDED = "refolded"
    PARKED = "parked"
    UNKNOWN = "unknown"
    BUSY = "busy"


class _Numbered(msgspec.Struct):
    id: str


_numbered = msgspec.json.Decoder(_Numbered)


class Refolder:
    """A worker that rebuilds one customer at a time, over one connection."""

    def __init__(self, line: Line, lists: WriterLists, time_zone: str) -> None:
        self._line = line
        self._lists = lists
        self._months = Months(time_zone)
        self._fold_version = fold_version(time_zone)

    async def look_after(
        self, customer_id: int, *, suspects: Sequence[Arrived] = (), force: bool = False
    ) -> Outcome:
        """Make the customer match its stream. Store unlisted `suspects` as dead letters.

        `force` recounts a customer that agrees with its stream. BUSY means that another process
        works on the customer, or was faster. Raises WriterAwayError, or what Postgres raises, when
        a retry is needed. Nothing is half done then.
        """
        async with self._line.connection() as connection:
            if not await replacing.claim(connection, customer_id):
                return Outcome.BUSY
            try:
                return await self._look_after(connection, customer_id, suspects, force=force)
            finally:
                if not connection.is_closed():
                    await replacing.release(connection, customer_id)

    async def _look_after(
        self, connection: Connection, customer_id: int, suspects: Sequence[Arrived], *, force: bool
    ) -> Outcome:
        held = await self._held(connection, customer_id)
        if not force and await self._agrees(held):
            strangers = await self._strangers(suspects)
            if held.still and not await standing.thaw(connection, customer_id, held.version):
                return Outcome.BUSY
            await _keep(connection, strangers)
            return Outcome.THAWED if held.still else Outcome.AGREES
        listed = Listed(customer_id, Tally(self._months), {one.revision for one in suspects})
        await replacing.clear_stage(connection)
        await self._read_on(connection, listed)
        if listed.revision == 0 and listed.trouble is None and held.revision == 0:
            await standing.forget(connection, customer_id, held.version)
            await _keep(connection, suspects)
            return Outcome.UNKNOWN
        outcome = await self._replace(connection, listed, held)
        await _keep(connection, [one for one in suspects if listed.has(one) is False])
        return outcome

    async def _held(self, connection: Connection, customer_id: int) -> Standing:
        """Return the customer's stored state. Insert a frozen row when there is none."""
        held = (await standing.standing(connection, [customer_id])).get(customer_id)
        if held is not None:
            return held
        await folding.insert_new(connection, [customer_id], self._fold_version)
        await standing.freeze(connection, [customer_id])
        return (await standing.standing(connection, [customer_id]))[customer_id]

    async def _agrees(self, held: Standing) -> bool:
        """Return whether the stream ends with the held event, folded by the current rule."""
        if held.parked or held.revision == 0 or held.fold_version != self._fold_version:
            return False
        return await self._goes_on(held) is False

    async def _goes_on(self, held: Standing) -> bool | None:
        """Return whether the stream continues after the held event: False when it ends there.

        None when that event is not in the stream.
        """
        if held.revision == 0:
            return True
        ids = await self._ids(held.customer_id, {held.revision, held.revision + 1})
        return held.revision + 1 in ids if ids.get(held.revision) == held.event_id else None

    async def _strangers(self, suspects: Sequence[Arrived]) -> list[Arrived]:
        """Return the unlisted ones of these events of a customer that agrees with its stream."""
        if not suspects:
            return []
        ids = await self._ids(suspects[0].customer_id, {one.revision for one in suspects})
        return [one for one in suspects if ids.get(one.revision) != one.id]

    async def _ids(self, customer_id: int, revisions: Collection[int]) -> dict[int, str]:
        """Return the ids of a stream's events at these revisions. Missing ones are left out."""
        ids: dict[int, str] = {}
        at, last = min(revisions), max(revisions)
        try:
            events = self._lists.events(customer_id, after=at - 1)
            async with aclosing(events):
                async for lines in events:
                    ids |= {n: _id_of(line) for n, line in enumerate(lines, at) if n in revisions}
                    at += len(lines)
                    if at > last:
                        break
        except UnknownCustomerError:
            return {}
        return ids

    async def _read_on(self, connection: Connection, listed: Listed) -> None:
        """Read and stage the stream beyond what has been read."""
        try:
            await self._read(connection, listed)
        except Exception as error:
            if not is_data_error(error):
                raise
            _give_up(listed, error)

    async def _read(self, connection: Connection, listed: Listed) -> None:
        if listed.trouble is not None:
            return
        try:
            events = self._lists.events(listed.customer_id, after=listed.revision)
            async with aclosing(events):
                async for lines in events:
                    rows, whole = _take(listed, lines)
                    if rows:
                        await replacing.stage(connection, pack(rows))
                    if not whole:
                        return
        except UnknownCustomerError as error:
            if listed.revision:
                raise WriterAwayError("the list vanished while it was read") from error

    async def _read_locked(self, connection: Connection, listed: Listed) -> None:
        """Read the end of the stream under the customer's lock, for which other writers may wait.

        Raises WriterAwayError after `_LOCKED_READ_SECONDS`.
        """
        try:
            async with asyncio.timeout(_LOCKED_READ_SECONDS):
                await self._read(connection, listed)
        except TimeoutError as error:
            raise WriterAwayError("the end of the list did not come in time") from error

    async def _replace(self, connection: Connection, listed: Listed, held: Standing) -> Outcome:
        """Replace the held rows by the stream, once no other write has come between."""
        found: Differences | None = None
        for attempt in itertools.count():
            replaces = await self._replaces(listed, held)
            try:
                if replaces and attempt < _FREE_READS:
                    found = await self._find(connection, listed)
                async with connection.transaction():
                    now = await standing.lock_standing(connection, listed.customer_id)
                    if now is None:
                        return Outcome.BUSY
                    if now.version != held.version and attempt >= _FREE_READS:
                        await self._read_locked(connection, listed)
                        replaces, held, found = await self._replaces(listed, now), now, None
                    if now.version == held.version:
                        return await self._write(connection, listed, found, replaces=replaces)
            except Exception as error:
                if not is_data_error(error) or listed.trouble is not None:
                    raise
                _give_up(listed, error)
                continue
            held, found = now, None
            await self._read_on(connection, listed)
        raise AssertionError("the loop has no other end")

    async def _write(
        self,
        connection: Connection,
        listed: Listed,
        found: Differences | None,
        *,
        replaces: bool,
    ) -> Outcome:
        if replaces:
            found = found or await self._find(connection, listed)
            await replacing.replace(connection, listed.customer_id, found)
            await replacing.put_customer(
                connection,
                profile_of(listed.profile or Customer(customer_id=listed.customer_id, name="")),
                revision=listed.revision,
                event_id=listed.event_id,
                fold_version=self._fold_version,
                accepted_at=listed.accepted_at,
            )
        if listed.trouble is None:
            return Outcome.REFOLDED
        await standing.park(connection, listed.customer_id, listed.trouble[:500])
        return Outcome.PARKED

    async def _replaces(self, listed: Listed, held: Standing) -> bool:
        """Return whether the stream is to be written.

        A stream with trouble is written as far as it can be folded, in two cases. It reaches
        further than `held`, or `held` is not part of it. In the second case an unlisted event has
        been counted. A stream that Postgres cannot store is not written: its good part is unknown.
        """
        if listed.trouble is None:
            return True
        if listed.lost:
            return False
        return listed.revision > held.revision or await self._goes_on(held) is None

    async def _find(self, connection: Connection, listed: Listed) -> Differences:
        return await replacing.find(connection, listed.customer_id, listed.tally.counts())


def _give_up(listed: Listed, error: Exception) -> None:
    """Record that Postgres cannot store something of this stream.

    The row at fault is not known, so no part of the stream can be used.
    """
    listed.trouble = f"near revision {listed.revision}: Postgres cannot hold it: {error}"
    listed.revision, listed.lost = 0, True


def _take(listed: Listed, lines: Sequence[bytes]) -> tuple[list[EventRow], bool]:
    """Return the rows of these lines, and False when one of them cannot be folded."""
    rows: list[EventRow] = []
    for line in lines:
        try:
            row = listed.take(line)
        except UnfoldableError as error:
            listed.trouble = str(error)
            return rows, False
        if row is not None:
            rows.append(row)
    return rows, True


def _id_of(line: bytes) -> str:
    """Return the id of an event, an empty text when the line is no event."""
    try:
        return _numbered.decode(line).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


async def _keep(connection: Connection, strangers: Sequence[Arrived]) -> None:
    """Store unlisted events of the topic as dead letters."""
    if strangers:
        await letters.put(
            connection,
            [dead_letter(one.record, _NOT_LISTED, one.customer_id) for one in strangers],
        )
        metrics.DEAD_LETTERS.inc(len(strangers))
