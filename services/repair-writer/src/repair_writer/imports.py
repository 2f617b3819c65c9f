"""Imports: lines of repairs in, one result for each line out, some 500 lines a transaction.

A line is an upsert by source and source_ref, so a broken upload can be sent again.
A bad line is refused on its own.
Memory holds two chunks: one is checked and saved while the next is read.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec

from repair_events.event import RECORDED
from repair_events.ids import new_id
from repair_events.repair import Repair
from repair_writer.asking import customer_unknown
from repair_writer.binding import ANY, KeyBinding
from repair_writer.bodies import BadBodyError, ImportedRepair, parse
from repair_writer.commands import append_change
from repair_writer.fields import Bounds
from repair_writer.history import Author, History
from repair_writer.repair import Change, Refusal, Restate, Unchanged, decide
from repair_writer.store.customers import lock_customers
from repair_writer.store.repairs import Reference, load_many, read_moment
from repair_writer.store.rows import Head, HeldRepair
from repair_writer.store.transaction import Connection, Pool, is_lost_race, transaction
from service_runtime.postgres import is_infrastructure

CHUNK_LINES: Final = 500
CHUNK_BYTES: Final = 1024 * 1024
#: Room for the longest texts, with each character escaped.
MAX_LINE_BYTES: Final = 262_144
_ATTEMPTS: Final = 6
#: Bytes that are parsed without a pause. The fixed cost of a line equals `_LINE_COST` bytes.
_READ_AT_ONCE: Final = 16_384
_LINE_COST: Final = 300
#: Blank lines are cheap, but one piece of a body may contain a hundred thousand.
_BLANK_AT_ONCE: Final = 2_000


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One valid line: its number, its command, and the time of the change."""

    number: int
    restate: Restate
    occurred_at: str | None

    @property
    def reference(self) -> Reference:
        """Return the publishing system's reference: (source, source_ref)."""
        return self.restate.repair.source, str(self.restate.repair.source_ref)


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a line.

    `outcome` is recorded, corrected, moved, unchanged or refused.
    """

    line: int
    outcome: str
    repair_id: str | None = None
    customer_id: int | None = None
    revision: int | None = None
    code: str | None = None
    detail: str | None = None
    errors: list[dict[str, str]] | None = None


class ImportAsk(msgspec.Struct, frozen=True, kw_only=True):
    """The context of an import: the author, the latest allowed dates, and the dry-run flag.

    `binding` limits the sources and customers of its lines.
    """

    author: Author
    bounds: Bounds
    binding: KeyBinding = ANY
    dry_run: bool = False


async def import_repairs(
    pool: Pool, ask: ImportAsk, pieces: AsyncIterator[bytes], slots: asyncio.Semaphore
) -> AsyncGenerator[list[Result], None]:
    """Yield the results of the lines in these pieces of a body, one list a chunk.

    A chunk takes one of `slots` while it is checked and saved.
    Meanwhile the next chunk is read, without a slot.
    Raises the store's error when Postgres stays unavailable. Earlier chunks remain saved.
    """
    saving: asyncio.Task[list[Result]] | None = None
    try:
        async for chunk in _chunks(pieces):
            if saving is not None:
                yield await saving
            saving = asyncio.create_task(_process(pool, ask, chunk, slots))
        if saving is not None:
            yield await saving
    finally:
        if saving is not None:
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)


async def _process(
    pool: Pool,
    ask: ImportAsk,
    chunk: Sequence[tuple[int, bytes | None]],
    slots: asyncio.Semaphore,
) -> list[Result]:
    """Check and save one chunk in a slot; return its results in the order of the lines."""
    async with slots:
        lines, refused = await _read(ask, chunk)
        results = await _until_won(pool, ask, lines) if lines else []
    return sorted([*results, *refused], key=lambda result: result.line)


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[tuple[int, bytes | None]]]:
    """Yield chunks of (number, line). The line is None if it is too long."""
    chunk: list[tuple[int, bytes | None]] = []
    size = 0
    async for numbered in _lines(pieces):
        chunk.append(numbered)
        size += len(numbered[1] or b"")
        if len(chunk) >= CHUNK_LINES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """Yield (number, line) for each line that is not blank, across the borders of the pieces.

    The line is None if it is longer than MAX_LINE_BYTES.
    Each byte is copied once, for any size of the pieces.
    """
    number = 0
    rest = bytearray()
    too_long = False
    async for piece in pieces:
        for place, part in enumerate(piece.split(b"\n")):
            if place:
                number += 1
                if number % _BLANK_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if too_long or rest.strip():
                    yield number, None if too_long else bytes(rest)
                rest.clear()
                too_long = False
            rest += part
            if len(rest) > MAX_LINE_BYTES:
                rest.clear()
                too_long = True
    if too_long or rest.strip():
        yield number + 1, None if too_long else bytes(rest)


async def _read(
    ask: ImportAsk, chunk: Sequence[tuple[int, bytes | None]]
) -> tuple[list[Line], list[Result]]:
    """Return the valid lines, and the refusals of the others.

    The event loop serves other requests between the lines: a chunk takes up to a second.
    """
    lines: list[Line] = []
    refused: list[Result] = []
    at_once = 0
    for number, text in chunk:
        at_once += _LINE_COST + len(text or b"")
        if at_once > _READ_AT_ONCE:
            await asyncio.sleep(0)
            at_once = 0
        one = _read_line(ask, number, text)
        if isinstance(one, Line):
            lines.append(one)
        else:
            refused.append(one)
    return lines, refused


def _read_line(ask: ImportAsk, number: int, text: bytes | None) -> Line | Result:
    if text is None:
        return _refused(number, "line-too-long", f"A line has at most {MAX_LINE_BYTES} bytes.")
    try:
        body = parse(ImportedRepair, text, ask.bounds)
    except BadBodyError as error:
        code = "invalid" if error.errors else "malformed"
        return _refused(number, code, error.detail, errors=error.errors or None)
    repair = body.to_repair(new_id(), ask.author.source)
    outside = ask.binding.check_repair(repair)
    if outside is not None:
        return _refused(number, outside.code, outside.detail)
    restate = Restate(repair=repair, given=body.given())
    return Line(number=number, restate=restate, occurred_at=body.occurred_at)


def _refused(number: int, code: str, detail: str, **more: Any) -> Result:
    return Result(line=number, outcome="refused", code=code, detail=detail, **more)


async def _until_won(pool: Pool, ask: ImportAsk, lines: Sequence[Line]) -> list[Result]:
    """Save the lines, with retries after a lost race or a short outage of Postgres.

    Return one result for each line. Makes six attempts at most, then raises the last error.
    Raises TimeoutError when repairs kept moving between customers.
    """
    also: set[int] = set()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with transaction(pool) as connection:
                return await _save_once(connection, ask, lines, also)
        except _OwnedElsewhereError as error:
            also |= error.customer_ids
        except Exception as error:
            # A retry is safe even after a completed commit: its lines are then unchanged.
            if attempt == _ATTEMPTS or not (is_lost_race(error) or is_infrastructure(error)):
                raise
        await asyncio.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - no secret
    raise TimeoutError("repairs of this chunk kept moving between customers")


class _OwnedElsewhereError(Exception):
    """Some of the repairs belong to customers that were not locked."""

    def __init__(self, customer_ids: set[int]) -> None:
        super().__init__()
        self.customer_ids = customer_ids


async def _save_once(
    connection: Connection, ask: ImportAsk, lines: Sequence[Line], also: Iterable[int]
) -> list[Result]:
    customers = {line.restate.repair.customer_id for line in lines}
    heads = await lock_customers(connection, sorted(customers.union(also)))
    assert heads is not None  # noqa: S101 - an import has no idempotency key to wait for
    held = await load_many(connection, list({line.reference for line in lines}))
    elsewhere = {one.repair.customer_id for one in held.values()} - heads.keys()
    if elsewhere:
        raise _OwnedElsewhereError(elsewhere)
    history = History(heads.values(), await read_moment(connection))
    results = _decide_all(ask, lines, history, held)
    if not ask.dry_run:
        await history.save(connection)
    return results


def _decide_all(
    ask: ImportAsk,
    lines: Iterable[Line],
    history: History,
    held: dict[Reference, HeldRepair],
) -> list[Result]:
    """Decide the lines in order and return their results.

    A later line of the same reference starts from the result of the earlier one.
    """
    now: dict[Reference, tuple[Repair, int]] = {
        reference: (one.repair, one.revision) for reference, one in held.items()
    }
    results = []
    for line in lines:
        before = now.get(line.reference)
        result, after = _decide_line(ask, line, history, before)
        results.append(result)
        if after is not None:
            now[line.reference] = after
    return results


def _decide_line(
    ask: ImportAsk, line: Line, history: History, before: tuple[Repair, int] | None
) -> tuple[Result, tuple[Repair, int] | None]:
    wanted = line.restate.repair.customer_id
    decision: Change | Unchanged | Refusal
    if history.head(wanted) is None:
        decision = customer_unknown(wanted)
    else:
        outside = ask.binding.check_repair(before[0]) if before else None
        decision = outside or decide(before and before[0], line.restate)
    if isinstance(decision, Refusal):
        return _refused(line.number, decision.code, decision.detail), None
    if isinstance(decision, Unchanged):
        revision = before[1] if before else 0
        return _result(ask, line, "unchanged", decision.repair, revision), None
    head: Head = append_change(history, ask.author, decision, line.occurred_at)
    word = "moved" if decision.left is not None else decision.fact
    shown = _result(ask, line, word, decision.repair, head.revision, new=decision.fact == RECORDED)
    return shown, (decision.repair, head.revision)


def _result(
    ask: ImportAsk, line: Line, outcome: str, repair: Repair, revision: int, *, new: bool = False
) -> Result:
    """Return the result of a line.

    A dry run omits the ids and revisions that only a real import would assign.
    """
    given = not ask.dry_run or outcome == "unchanged"
    return Result(
        line=line.number,
        outcome=outcome,
        repair_id=repair.repair_id if given or not new else None,
        customer_id=repair.customer_id,
        revision=revision if given else None,
    )
