"""Texts designed to be expensive: their part in a repair's search text, and their matches."""

from importlib import import_module
from typing import Any

import asyncpg
import pytest

from portal_query.read_model.lists import walking
from portal_query.read_model.repairs import PageWanted, RepairFilter, Sort

MARKS: str = import_module("portal_query.migrations.versions.0003_search_text").MARKS
# Two marks of different classes (230 and 220) in an order that NFC must reverse.
TURNED = "\u0301\u0316"


@pytest.fixture
async def connection(database: Any) -> Any:
    connection = await asyncpg.connect(database.portal_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "marks",
    [TURNED * 1_900, "\u0301" * 1_900 + "\u0316" * 1_900, "\U0001e5ee\u0f73\u0316" * 1_200],
    ids=["by turns", "in halves", "newer ones"],
)
async def test_a_run_of_marks_is_cut_before_it_is_put_in_order(
    read_model: Any, repair: Any, api: Any, marks: str
) -> None:
    hostile = f"Riss{marks}Blatt" + f" a{TURNED}" * 40
    await read_model.put(1, [repair(description=hostile, notes=hostile)])

    text = await read_model.connection.fetchval("SELECT search_text FROM portal.repair")

    # Of each run thirty marks, at most four letters each in normal form, and all of the rest.
    assert len(text) < 2 * (30 * 4 + 200)
    async with api.ask("/customer/api/repairs/?q=BLATT%20a%CC%96%CC%81") as answer:
        assert len((await answer.json())["repairs"]) == 1


async def test_the_marks_are_those_that_this_postgres_puts_in_order(
    connection: "asyncpg.Connection[Any]",
) -> None:
    """A mark moves before U+0345 (class 240, the highest), or behind U+0334 (class 1)."""
    differing = await connection.fetch(
        "SELECT to_hex(code) FROM generate_series(1, x'10FFFF'::int) AS code"
        " WHERE code NOT BETWEEN x'D800'::int AND x'DFFF'::int AND"
        " (NOT starts_with(normalize(chr(x'345'::int) || chr(code), NFD), chr(x'345'::int))"
        " OR starts_with(normalize(chr(code) || chr(x'334'::int), NFD), chr(x'334'::int)))"
        f" IS DISTINCT FROM chr(code) ~ '[{MARKS}]'"
    )
    assert [row[0] for row in differing] == []


async def test_what_is_looked_for_is_folded_once_and_not_for_each_repair(
    connection: "asyncpg.Connection[Any]",
) -> None:
    sql, arguments = walking(1, PageWanted(RepairFilter(text="m\u00fcller"), Sort()))
    given = ", ".join(repr(one) for one in arguments)
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE search AS {sql}")
    plan = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE search({given})")]
    filters = [line for line in plan if "Filter:" in line]
    assert any("strpos" in line for line in filters)
    assert not any("normalize" in line for line in filters), plan
