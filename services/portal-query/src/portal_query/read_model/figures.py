"""SQL of statistics that no single count holds: completions of a month, units repaired again.

Units of all time come from the counts. A year is counted through the index on dates, so it costs
the same however long the history is. A repair's month is stored with it, in the portal's time zone.
The dates only narrow the range of the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from portal_query.read_model.counts import Connection

_DAY: Final = timedelta(days=1)

_COMPLETED: Final = """
SELECT month, count(*) AS n FROM portal.repair
WHERE customer_id = $1 AND status = 'COMPLETED' AND NOT removed
  AND repair_date >= $2::date AND repair_date < $3::date AND month = ANY($4::text[])
GROUP BY month
"""
_UNITS_OF_A_YEAR: Final = """
SELECT unit_number, count(*) AS n FROM portal.repair
WHERE customer_id = $1 AND NOT removed
  AND repair_date >= $2::date AND repair_date < $3::date AND month BETWEEN $4 AND $5
GROUP BY unit_number HAVING count(*) >= $6
"""
_UNITS_EVER: Final = """
SELECT bucket AS unit_number, n FROM portal.repair_count
WHERE customer_id = $1 AND dimension = 0 AND n >= $2
"""


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """The start of a page of units: the unit before it, by its count and number."""

    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class UnitsWanted:
    """A request for units with at least `at_least` repairs, of one year or ever, most first."""

    year: int | None = None
    at_least: int = 1
    after: UnitPlace | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class UnitsListed:
    """A page of units with counts, the number of all units, and the start of the next page."""

    units: list[tuple[str, int]]
    count: int
    after: UnitPlace | None


async def load_completed(
    connection: Connection, customer_id: int, months: Sequence[str]
) -> dict[str, int]:
    """Return how many repairs dated in each of these adjacent months are completed."""
    first, beyond = date.fromisoformat(f"{min(months)}-01"), _after(max(months))
    rows = await connection.fetch(
        _COMPLETED, customer_id, first - _DAY, beyond + _DAY, list(months)
    )
    return dict.fromkeys(months, 0) | {row["month"]: row["n"] for row in rows}


async def count_units(connection: Connection, customer_id: int, *, year: int, at_least: int) -> int:
    """Return how many units have at least `at_least` repairs in a year."""
    sql, arguments = _units(customer_id, year, at_least)
    return int(await connection.fetchval(f"SELECT count(*) FROM ({sql}) AS unit", *arguments))  # noqa: S608


async def load_units(connection: Connection, customer_id: int, wanted: UnitsWanted) -> UnitsListed:
    """Return a page of units, most repairs first, then by code point."""
    sql, arguments = _units(customer_id, wanted.year, wanted.at_least)
    after = ""
    if wanted.after is not None:
        n, unit = len(arguments) + 1, len(arguments) + 2
        after = f"WHERE (-n, unit_number) > (-${n}::bigint, ${unit}::text)"
        arguments += [wanted.after.count, wanted.after.unit]
    rows = await connection.fetch(
        f"WITH unit AS MATERIALIZED ({sql})"  # noqa: S608 - nothing of the caller's is in the text
        " SELECT whole.count, unit.* FROM (SELECT count(*) FROM unit) AS whole LEFT JOIN"
        f" (SELECT * FROM unit {after} ORDER BY n DESC, unit_number"
        f" LIMIT ${len(arguments) + 1}) AS unit ON true ORDER BY n DESC, unit_number",
        *arguments,
        wanted.limit + 1,
    )
    found = [(row["unit_number"], row["n"]) for row in rows if row["n"] is not None]
    shown = found[: wanted.limit]
    behind = UnitPlace(shown[-1][1], shown[-1][0]) if len(found) > len(shown) else None
    return UnitsListed(shown, rows[0]["count"], behind)


def _units(customer_id: int, year: int | None, at_least: int) -> tuple[str, list[object]]:
    if year is None:
        return _UNITS_EVER, [customer_id, max(at_least, 1)]
    first, beyond = date(year, 1, 1), date(year + 1, 1, 1)
    months = (f"{year}-01", f"{year}-12")
    return _UNITS_OF_A_YEAR, [customer_id, first - _DAY, beyond + _DAY, *months, at_least]


def _after(month: str) -> date:
    return (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1)
