"""The figures of a month and a year, and the units behind them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

FIGURES = "/customer/api/figures/"
UNITS = "/customer/api/units/"
ZONE = ZoneInfo("America/Chicago")


async def answered(api: Any, path: str, customer_id: int = 1) -> Any:
    async with api.ask(path, customer_id) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def every_unit(api: Any, query: str) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = await answered(api, f"{UNITS}?{query}{cursor}")
        found += page["units"]
        if page["next"] is None:
            assert page["count"] == len(found)
            return found
        cursor = f"&cursor={page['next']}"


async def test_completed_this_month_are_those_that_its_list_shows(
    api: Any, read_model: Any, repair: Any
) -> None:
    first = datetime.now(ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    before, moment = first - timedelta(days=1), timedelta(microseconds=1)
    dates = [first, first + moment, first - moment, before.replace(day=1), before]
    repairs = [repair("A1", "COMPLETED", date) for date in dates]
    repairs += [repair("A1", "PENDING", first), repair("A1", "COMPLETED", first, removed=True)]
    repairs += [repair("A1", "COMPLETED", before.replace(day=1) - moment)]
    await read_model.put(1, repairs)
    await read_model.put(2, [repair("A1", "COMPLETED", first)])
    figures = (await answered(api, FIGURES))["completed_this_month"]
    assert figures == {
        "month": f"{first:%Y-%m}",
        "count": 2,
        "month_before": f"{before:%Y-%m}",
        "count_before": 3,
    }
    for month, count in (("month", "count"), ("month_before", "count_before")):
        query = f"?status=COMPLETED&month={figures[month]}"
        assert (await answered(api, "/customer/api/repairs/" + query))["count"] == figures[count]


async def test_units_repaired_again_are_those_that_their_list_shows(
    api: Any, read_model: Any, repair: Any
) -> None:
    year = datetime.now(ZONE).year
    here, last = datetime(year, 1, 1, tzinfo=ZONE), datetime(year - 1, 12, 31, 23, tzinfo=ZONE)
    dates = {"A1": [here, here], "B2": [here, last], "C3": [here] * 3, "D4": [last] * 4}
    repairs = [repair(unit, "DENIED", date) for unit, some in dates.items() for date in some]
    await read_model.put(1, [*repairs, repair("B2", date=here, removed=True)])
    figures = (await answered(api, FIGURES))["units_repaired_again"]
    assert figures == {"year": year, "at_least": 2, "count": 2}
    found = await answered(api, f"{UNITS}?year={year}&at_least=2")
    assert found["units"] == [
        {"unit_number": "C3", "repair_count": 3},
        {"unit_number": "A1", "repair_count": 2},
    ]
    for unit in found["units"]:
        query = f"?unit={unit['unit_number']}&from={year}-01-01&to={year}-12-31"
        listed = await answered(api, "/customer/api/repairs/" + query)
        assert listed["count"] == unit["repair_count"]


async def test_units_come_page_by_page_most_first(api: Any, read_model: Any, repair: Any) -> None:
    spread = {"A1": 3, "b": 2, "É 5": 2, "B": 2, "Z": 1, "Y": 1}
    repairs = [
        repair(unit, date=datetime(2025, 6, 1, tzinfo=UTC))
        for unit, n in spread.items()
        for _ in range(n)
    ]
    await read_model.put(1, repairs)
    ordered = sorted(spread.items(), key=lambda one: (-one[1], one[0]))
    for narrowed in ("limit=2", "limit=4", "limit=1&year=2025"):
        found = await every_unit(api, narrowed)
        assert [(one["unit_number"], one["repair_count"]) for one in found] == ordered
    assert len(await every_unit(api, "at_least=2&limit=1")) == 4
    assert await every_unit(api, "at_least=4") == []
    assert await every_unit(api, "year=2024") == []


async def test_units_without_a_year_are_those_of_the_documented_list(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    documented = await answered(api, "/customer/api/unit-repair-data/")
    assert await every_unit(api, "limit=3") == documented
    assert Counter(one.unit for one in a_fleet) == {
        one["unit_number"]: one["repair_count"] for one in documented
    }


async def test_nothing_is_known_of_a_new_customer(api: Any) -> None:
    assert (await answered(api, FIGURES))["completed_this_month"]["count"] == 0
    assert (await answered(api, UNITS))["units"] == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        *(("year=26", "year"), ("year=2026-01", "year"), ("year=0000", "year")),
        *(("at_least=0", "at_least"), ("at_least=-1", "at_least"), ("limit=201", "limit")),
        *(("at_least=9999999999", "at_least"), ("cursor=bm8", "cursor"), ("unit=A1", "unit")),
    ],
)
async def test_what_cannot_be_asked_of_units_is_named(api: Any, query: str, named: str) -> None:
    async with api.ask(f"{UNITS}?{query}") as answer:
        assert answer.status == 400
        assert [one["parameter"] for one in (await answer.json())["errors"]] == [named]


async def test_a_cursor_of_units_is_its_customers_and_its_lists(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    cursor = (await answered(api, f"{UNITS}?limit=1"))["next"]
    for customer_id, path in ((2, UNITS), (1, "/customer/api/repairs/")):
        async with api.ask(f"{path}?limit=1&cursor={cursor}", customer_id) as answer:
            assert answer.status == 400


async def test_figures_carry_the_state_and_are_304_when_known(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    for path in (FIGURES, UNITS):
        async with api.ask(path) as answer:
            tag = answer.headers["ETag"]
            assert answer.headers["Portal-Revision"] == "12"
        async with api.ask(path, If_None_Match=tag) as answer:
            assert answer.status == 304
        async with api.ask(path, 2, If_None_Match=tag) as answer:
            assert answer.status == 200
        async with api.ask(path, Portal_Min_Revision="99", Portal_Refold="0") as answer:
            assert answer.status == 200  # another refold: a new list
        async with api.ask(path, Portal_Min_Revision="99", Portal_Refold="1") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
