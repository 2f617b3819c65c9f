"""SQL of a list of repairs: any filter, any order, any page, at a bounded cost.

The counts bound how many repairs each condition leaves. If the fewest are few, they are collected
through that condition's index, counted and sorted. If they are many, the list is walked through
its order's index, for a bounded number of steps. Many match, so a page is soon full. Otherwise it
ends early and returns where the next one begins. So no page misses or repeats a repair, and a
longer history makes no page more expensive. Decision 0008 has the measurements.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum
from typing import Final

from portal_query.counting import Dimension
from portal_query.read_model.bounds import Bounds, Known, bounds_of
from portal_query.read_model.counts import Connection
from portal_query.read_model.repairs import (
    COLUMNS,
    SORTS,
    PageWanted,
    Place,
    RepairFilter,
    Row,
)

#: Most repairs that a page reads. Searching one for a text costs five times as much.
STEPS: Final = 10_000
TEXT_STEPS: Final = 4_000
#: A row has up to 33 kB, so this many are read within milliseconds.
_ROWS_AT_ONCE: Final = 100
_EXPORT_SECONDS: Final = 20

_KNOWN: Final = """
SELECT dimension, bucket, n FROM portal.repair_count
WHERE customer_id = $1 AND n > 0 AND (dimension IN (1, 2) OR dimension = 0 AND bucket = $2)
"""
#: The searched texts of a repair. Step 0003 fills `search_text` where lower case is not enough.
_SEARCHED: Final = (
    "coalesce(search_text, lower(concat_ws(E'\\x1f', unit_number, description, damage_type,"
    ' customer_notes) COLLATE "C"))'
)
#: The text to find, folded by the same Unicode tables as `search_text`. As a subquery it is folded
#: once: a generic plan of a prepared statement folds it for each row.
_FOLDED: Final = "(SELECT casefold(normalize({}, NFC) COLLATE pg_unicode_fast))"


@dataclass(frozen=True, slots=True)
class Listed:
    """A page: its repairs in order, the length of the list, and the start of the next page.

    `count` is None when more than `STEPS` repairs would have to be counted. `after` is None on the
    last page. A page with `after` may hold fewer repairs than requested.
    """

    rows: list[Row]
    count: int | None
    after: Place | None


class Means(Enum):
    """The two ways to find a page."""

    COLLECT = "collect"
    WALK = "walk"


async def load_list(connection: Connection, customer_id: int, wanted: PageWanted) -> Listed:
    """Return a page of a customer's repairs. The connection must hold a snapshot (`snapshot`)."""
    known = await _load_known(connection, customer_id, wanted.which)
    bounds = bounds_of(wanted.which, known)
    if bounds.at_most == 0:
        return Listed([], 0, None)
    if means_for(wanted, bounds) is Means.COLLECT:
        return await _collect(connection, customer_id, wanted)
    rows, after = await _walk(connection, customer_id, wanted)
    return Listed(rows, await _count(connection, customer_id, bounds), after)


def means_for(wanted: PageWanted, bounds: Bounds) -> Means:
    """Return the way to find a page: few repairs are collected, many are walked."""
    return Means.COLLECT if bounds.at_most <= steps_of(wanted) else Means.WALK


def steps_of(wanted: PageWanted) -> int:
    """Return how many repairs this page may read, always more than it may hold."""
    return max(STEPS if wanted.which.text is None else TEXT_STEPS, wanted.limit + 1)


def collecting(customer_id: int, wanted: PageWanted) -> tuple[str, Sequence[object]]:
    """Return the statement that collects, counts and sorts all matches, and its arguments."""
    place = _Places(customer_id)
    column, direction, beyond = _order(wanted)
    found = " AND ".join([*_MINE, *_conditions(wanted.which, place)])
    after = f"WHERE {_beyond('key', wanted.after, beyond, place)}" if wanted.after else ""
    sql = f"""
WITH found AS MATERIALIZED (
  SELECT {column} AS key, repair_id FROM portal.repair WHERE {found}
), page AS (
  SELECT key, repair_id FROM found {after}
  ORDER BY key {direction}, repair_id {direction} LIMIT {place(wanted.limit + 1)}
)
SELECT listed.n, repair.*
FROM (SELECT count(*) AS n FROM found) AS listed
LEFT JOIN (page JOIN LATERAL (
  SELECT {COLUMNS} FROM portal.repair AS held
  WHERE held.customer_id = $1 AND held.repair_id = page.repair_id
) AS repair ON true) ON true
ORDER BY page.key {direction}, page.repair_id {direction}
"""  # noqa: S608 - nothing of the caller's is in the text
    return sql, place.arguments


def walking(customer_id: int, wanted: PageWanted) -> tuple[str, Sequence[object]]:
    """Return the statement that walks a list in its order, and its arguments."""
    place = _Places(customer_id)
    along, aside = _along(wanted)
    path = _path(wanted, along, place)
    conditions = " AND ".join(_conditions(aside, place)) or "true"
    order = _order_by(wanted)
    sql = (
        f"SELECT {COLUMNS} FROM (SELECT {COLUMNS}, search_text FROM portal.repair {path}"  # noqa: S608
        f" LIMIT {place(steps_of(wanted))}) AS walked"
        f" WHERE {conditions} {order} LIMIT {place(wanted.limit + 1)}"
    )
    return sql, place.arguments


def reaching(customer_id: int, wanted: PageWanted) -> tuple[str, Sequence[object]]:
    """Return the statement that finds the end of a walk, and its arguments.

    It returns no row when the walk reached the end of the list.
    """
    place = _Places(customer_id)
    path = _path(wanted, _along(wanted)[0], place)
    column = SORTS[wanted.sort.by]
    sql = (
        f"SELECT {column} AS key, repair_id FROM portal.repair {path}"  # noqa: S608
        f" OFFSET {place(steps_of(wanted) - 1)} LIMIT 1"
    )
    return sql, place.arguments


def exporting(customer_id: int, wanted: PageWanted) -> tuple[str, Sequence[object]]:
    """Return the statement of all repairs of a list in its order, and its arguments."""
    place = _Places(customer_id)
    path = _path(wanted, wanted.which, place)
    return f"SELECT {COLUMNS} FROM portal.repair {path}", place.arguments  # noqa: S608


async def every_row(
    connection: Connection, customer_id: int, wanted: PageWanted
) -> AsyncIterator[list[Row]]:
    """Yield all repairs of a list in its order, up to a hundred at a time, through a cursor.

    The connection must hold a snapshot, and serves nothing else meanwhile.
    """
    await connection.execute(f"SET LOCAL statement_timeout = '{_EXPORT_SECONDS}s'")
    sql, arguments = exporting(customer_id, wanted)
    cursor = await connection.cursor(sql, *arguments)
    while rows := await cursor.fetch(_ROWS_AT_ONCE, timeout=_EXPORT_SECONDS + 1):
        yield rows


async def _load_known(connection: Connection, customer_id: int, which: RepairFilter) -> Known:
    rows = await connection.fetch(_KNOWN, customer_id, which.unit)
    return {(Dimension(row[0]), row[1]): row[2] for row in rows}


async def _count(connection: Connection, customer_id: int, bounds: Bounds) -> int | None:
    """Return the length of a walked list, None when counting takes more than `STEPS` repairs."""
    if bounds.beside is None or bounds.edges > STEPS:
        return None
    count = bounds.exactly
    for edge in bounds.beside:
        place = _Places(customer_id)
        conditions = " AND ".join([*_MINE, *_conditions(edge, place)])
        sql = f"SELECT count(*) FROM portal.repair WHERE {conditions}"  # noqa: S608
        count += await connection.fetchval(sql, *place.arguments)
    return count


async def _collect(connection: Connection, customer_id: int, wanted: PageWanted) -> Listed:
    sql, arguments = collecting(customer_id, wanted)
    rows = await connection.fetch(sql, *arguments)
    count = int(rows[0]["n"])
    rows = [row for row in rows if row["repair_id"] is not None]
    shown = rows[: wanted.limit]
    return Listed(shown, count, _place_of(shown[-1], wanted) if len(rows) > len(shown) else None)


async def _walk(
    connection: Connection, customer_id: int, wanted: PageWanted
) -> tuple[list[Row], Place | None]:
    sql, arguments = walking(customer_id, wanted)
    rows = await connection.fetch(sql, *arguments)
    shown = rows[: wanted.limit]
    if len(rows) > len(shown):
        return shown, _place_of(shown[-1], wanted)
    if _along(wanted)[1] == RepairFilter():
        return shown, None
    sql, arguments = reaching(customer_id, wanted)
    end = await connection.fetchrow(sql, *arguments)
    return shown, None if end is None else Place(end["key"], end["repair_id"])


def _place_of(row: Row, wanted: PageWanted) -> Place:
    return Place(row[SORTS[wanted.sort.by]], row["repair_id"])


class _Places:
    """The arguments of a statement. A call adds one and returns its placeholder."""

    def __init__(self, customer_id: int) -> None:
        self.arguments: list[object] = [customer_id]

    def __call__(self, value: object) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"


_MINE: Final = ("customer_id = $1", "NOT removed")
_Placing = Callable[[object], str]


def _order(wanted: PageWanted) -> tuple[str, str, str]:
    direction, beyond = ("DESC", "<") if wanted.sort.descending else ("ASC", ">")
    return SORTS[wanted.sort.by], direction, beyond


def _order_by(wanted: PageWanted) -> str:
    column, direction, _ = _order(wanted)
    return f"ORDER BY {column} {direction}, repair_id {direction}"


def _beyond(column: str, after: Place, beyond: str, place: _Placing) -> str:
    return f"({column}, repair_id) {beyond} ({place(after.key)}, {place(after.repair_id)})"


def _path(wanted: PageWanted, along: RepairFilter, place: _Placing) -> str:
    column, _, beyond = _order(wanted)
    conditions = [*_MINE, *_conditions(along, place)]
    if wanted.after is not None:
        conditions.append(_beyond(column, wanted.after, beyond, place))
    return f"WHERE {' AND '.join(conditions)} {_order_by(wanted)}"


def _along(wanted: PageWanted) -> tuple[RepairFilter, RepairFilter]:
    """Split the conditions: those that the walk's index covers, and those checked row by row."""
    which = wanted.which
    if wanted.sort.by == "unit_number":
        return RepairFilter(unit=which.unit), replace(which, unit=None)
    if wanted.sort.by != "repair_date":
        return RepairFilter(), which
    statuses = which.statuses if len(set(which.statuses)) == 1 else ()
    along = RepairFilter(statuses=statuses, month=which.month, since=which.since, until=which.until)
    return along, RepairFilter(
        statuses=() if statuses else which.statuses, unit=which.unit, text=which.text
    )


def _conditions(which: RepairFilter, place: _Placing) -> Iterator[str]:
    if len(set(which.statuses)) == 1:
        yield f"status = {place(which.statuses[0])}"
    elif which.statuses:
        yield f"status = ANY({place(list(which.statuses))}::text[])"
    if which.unit is not None:
        yield f"unit_number = {place(which.unit)}"
    if which.month is not None:
        # A month of the portal's time zone: the index range is a day wider at both ends.
        first, beyond = _around(which.month)
        yield f"month = {place(which.month)}"
        yield f"repair_date >= {place(first)}::date"
        yield f"repair_date < {place(beyond)}::date"
    if which.since is not None:
        yield f"repair_date >= {place(which.since)}"
    if which.until is not None:
        yield f"repair_date < {place(which.until)}"
    if which.text is not None:
        sought = _FOLDED.format(f"{place(which.text)}::text")
        yield f'strpos({_SEARCHED} COLLATE "C", {sought} COLLATE "C") > 0'


def _around(month: str) -> tuple[date, date]:
    first = date.fromisoformat(f"{month}-01")
    beyond = (first + timedelta(days=31)).replace(day=1)
    return first - timedelta(days=1), beyond + timedelta(days=1)
