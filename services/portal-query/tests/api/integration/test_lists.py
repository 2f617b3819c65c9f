"""Lists of any length: each page compared with an independent reading; the plan of each statement."""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from portal_query.api.asking import asked_of
from portal_query.read_model import lists
from portal_query.read_model.lists import Listed, load_list
from portal_query.read_model.repairs import SORTS, PageWanted
from repair_events.month import Months
from repair_events.status import STATUSES

ZONE = "America/Chicago"
SORTED = [sign + by for by in SORTS for sign in ("", "-")]
NARROWED: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("status", "PENDING"),),
    (("status", "COMPLETED"),),
    (("status", "COMPLETED"), ("status", "DENIED")),
    (("unit", "U1"),),
    (("unit", "U1"), ("status", "COMPLETED")),
    (("month", "2026-03"),),
    (("month", "2026-03"), ("status", "COMPLETED")),
    (("from", "2026-02-10"), ("to", "2026-05-20")),
    (("from", "2026-03-01"),),
    (("to", "2026-03-15"), ("status", "DENIED")),
    (("from", "2026-03-05"), ("to", "2026-03-25")),
    (("q", "crack"),),
    (("q", "crack 7"), ("status", "COMPLETED")),
    (("q", "nowhere to be found"),),
    (("q", "u1"), ("unit", "U1"), ("month", "2026-03")),
    (("unit", "unknown"),),
)


def wanted(*parameters: tuple[str, str], **more: str) -> PageWanted:
    return asked_of([*parameters, *more.items()], 1, ZoneInfo(ZONE)).page


class Fleet:
    """The same repairs, read in the simplest possible way."""

    def __init__(self, repairs: list[Any]) -> None:
        self._months = Months(ZONE)
        self._repairs = [one for one in repairs if not one.removed]

    def matching(self, parameters: tuple[tuple[str, str], ...]) -> Iterator[Any]:
        statuses = {value for name, value in parameters if name == "status"}
        given = dict(parameters)
        for one in self._repairs:
            day = one.date.astimezone(ZoneInfo(ZONE)).date().isoformat()
            words = f"{one.unit}\n{one.description}\n{one.notes}".lower()
            if (
                (not statuses or one.status in statuses)
                and given.get("unit", one.unit) == one.unit
                and given.get("month", self._months.month_of(one.date))
                == self._months.month_of(one.date)
                and given.get("from", day) <= day <= given.get("to", day)
                and given.get("q", "") in words
            ):
                yield one

    def listed(self, parameters: tuple[tuple[str, str], ...], sort: str) -> list[str]:
        keys = {
            "repair_date": lambda one: (one.date, one.repair_id),
            "changed_at": lambda one: (one.date, one.repair_id),
            "cost": lambda one: (float(one.cost), one.repair_id),
            "unit_number": lambda one: (one.unit, one.repair_id),
        }
        found = sorted(
            self.matching(parameters),
            key=keys[sort.removeprefix("-")],
            reverse=sort.startswith("-"),
        )
        return [str(one.repair_id) for one in found]


def some_repairs(repair: Any, count: int) -> list[Any]:
    chosen = random.Random(7)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        repair(
            unit=f"U{chosen.choice((1, 1, 2, 3))}",
            status=chosen.choice((*STATUSES, "COMPLETED", "COMPLETED")),
            date=first + timedelta(hours=chosen.randrange(200) * 24),
            cost=f"{chosen.randrange(1, 9)}.00",
            description=f"Crack {n}" if n % 3 else "chip",
            notes="" if n % 4 else "crack 70%",
            removed=n % 11 == 0,
        )
        for n in range(count)
    ]


async def every_page(
    connection: Any, parameters: tuple[tuple[str, str], ...], sort: str, *, limit: int
) -> tuple[list[str], set[int | None]]:
    ids: list[str] = []
    counts: set[int | None] = set()
    page = wanted(*parameters, sort=sort, limit=str(limit))
    for _ in itertools.count():
        listed: Listed = await load_list(connection, 1, page)
        assert len(listed.rows) <= limit
        ids += [str(row["repair_id"]) for row in listed.rows]
        counts.add(listed.count)
        if listed.after is None:
            return ids, counts
        page = PageWanted(page.which, page.sort, listed.after, page.limit)
    raise AssertionError


@pytest.mark.parametrize(("steps", "text_steps"), [(10_000, 4_000), (7, 5), (40, 9)])
async def test_however_a_page_is_found_the_list_is_the_same(
    read_model: Any, repair: Any, monkeypatch: Any, steps: int, text_steps: int
) -> None:
    monkeypatch.setattr(lists, "STEPS", steps)
    monkeypatch.setattr(lists, "TEXT_STEPS", text_steps)
    repairs = some_repairs(repair, 90)
    await read_model.put(1, repairs)
    await read_model.put(2, some_repairs(repair, 20))
    fleet = Fleet(repairs)
    for parameters, (n, sort) in itertools.product(NARROWED, enumerate(SORTED)):
        ids, counts = await every_page(
            read_model.connection, parameters, sort, limit=(6, 13, 200)[n % 3]
        )
        expected = fleet.listed(parameters, sort)
        assert ids == expected, (parameters, sort)
        assert counts <= {len(expected), None}
        if steps == 10_000 or (len(parameters) <= 1 and not dict(parameters).get("q")):
            assert counts == {len(expected)}, (parameters, sort)


class Noting:
    """A connection that records its statements."""

    def __init__(self, connection: Any) -> None:
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        async def ask(sql: str, *arguments: object) -> Any:
            self.asked.append((sql, arguments))
            return await getattr(self._connection, name)(sql, *arguments)

        return ask


async def long_history(connection: Any) -> None:
    """Insert 40 000 repairs of customer 1 among 60 000 of others, as months of events would."""
    await connection.execute(
        """
        INSERT INTO portal.repair
        SELECT CASE WHEN n % 5 < 2 THEN 1 ELSE 2 + n % 30 END, gen_random_uuid(), 'U' || n % 400,
          at, to_char(at AT TIME ZONE 'America/Chicago', 'YYYY-MM'),
          CASE WHEN n % 97 = 0 THEN 'PENDING' WHEN n % 10 = 0 THEN 'DENIED' ELSE 'COMPLETED' END,
          CASE WHEN n % 3 = 0 THEN 'Crack ' ELSE 'Chip ' END || n, '', n % 500, '', 'internal', NULL,
          false, n, gen_random_uuid(), at, at + interval '2 days'
        FROM (SELECT n, timestamptz '2022-01-01' + (n * 7919 % 1500) * interval '1 day' AS at
              FROM generate_series(1, 100000) AS n) AS made
        """
    )
    for dimension, column in enumerate(("unit_number", "month", "status")):
        await connection.execute(
            f"INSERT INTO portal.repair_count SELECT customer_id, {dimension}, {column}, count(*)"
            f" FROM portal.repair GROUP BY customer_id, {column}"
        )
    await connection.execute("ANALYZE portal.repair, portal.repair_count")


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


async def test_no_page_of_a_long_list_reads_or_sorts_all_of_it(read_model: Any) -> None:
    connection: asyncpg.Connection[Any] = read_model.connection
    await long_history(connection)
    for parameters, sort in itertools.product(NARROWED, SORTED):
        page = wanted(*parameters, sort=sort)
        for _ in range(2):
            noting = Noting(connection)
            listed = await load_list(noting, 1, page)  # type: ignore[arg-type]
            for sql, arguments in noting.asked:
                answer = await connection.fetchval(
                    f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, COSTS OFF) {sql}", *arguments
                )
                await judge(json.loads(answer)[0]["Plan"], (parameters, sort, sql))
            if listed.after is None:
                break
            page = PageWanted(page.which, page.sort, listed.after, page.limit)


async def judge(plan: dict[str, Any], what: object) -> None:
    for node in nodes_of(plan):
        kind, rows = node["Node Type"], node["Actual Rows"] * node["Actual Loops"]
        looked_at = rows + node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        assert kind not in {"Seq Scan", "Incremental Sort"}, what
        if kind == "Sort":
            assert max(one["Actual Rows"] for one in nodes_of(node)) <= lists.STEPS, what
        assert looked_at <= lists.STEPS * 1.1, what
