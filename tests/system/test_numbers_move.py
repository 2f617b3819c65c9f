"""Effects of a change on the numbers: old bucket down and new bucket up, in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.oracle.fold import Counts
from tests.system.test_side_by_side import record

if TYPE_CHECKING:
    from tests.system.conftest import Portal

JANUARY, MARCH = "2026-01-15T15:00:00Z", "2026-03-10T15:00:00Z"


async def test_a_life_moves_the_numbers_as_the_design_says(portal: Portal) -> None:
    first, second = await portal.customers(2)
    repair_id, _ = await record(
        portal, first, ("A1", JANUARY, "REQUESTED"), ("A1", JANUARY, "PENDING")
    )
    writer = portal.writer

    async def counts() -> tuple[Counts, Counts]:
        folds = await portal.agreed([first, second])
        found = folds[first].counts(portal.time_zone), folds[second].counts(portal.time_zone)
        assert found[0].total() + found[1].total() == await portal.present([first, second])
        return found

    one, two = await counts()
    assert (one.units, one.months, one.statuses) == (
        {"A1": 2},
        {"2026-01": 2},
        {"REQUESTED": 1, "PENDING": 1},
    )

    await writer.status(repair_id, {"status": "APPROVED"})
    one, two = await counts()
    assert one.statuses == {"APPROVED": 1, "PENDING": 1}

    await writer.correct(repair_id, {"unit_number": "  B  2 ", "repair_date": MARCH})
    one, two = await counts()
    assert (one.units, one.months) == ({"A1": 1, "B 2": 1}, {"2026-01": 1, "2026-03": 1})

    await writer.correct(repair_id, {"customer_id": second})
    one, two = await counts()
    assert (one.units, two.units, two.statuses) == ({"A1": 1}, {"B 2": 1}, {"APPROVED": 1})

    await writer.correct(repair_id, {"customer_id": first})
    one, two = await counts()
    assert (one.total(), two.total()) == (2, 0)

    await writer.remove(repair_id, {"reason": "Entered twice"})
    one, two = await counts()
    assert (one.units, one.months, one.statuses) == ({"A1": 1}, {"2026-01": 1}, {"PENDING": 1})

    await writer.restore(repair_id, {"reason": "It was not"})
    one, two = await counts()
    assert (one.units, one.total()) == ({"A1": 1, "B 2": 1}, 2)


async def test_a_status_sent_twice_changes_nothing(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    (repair_id,) = await record(portal, customer, ("A1", JANUARY, "PENDING"))

    first = await portal.writer.status(repair_id, {"status": "APPROVED"})
    again = await portal.writer.status(repair_id, {"status": "APPROVED"})

    assert first.body["revision"] == again.body["revision"]
    folds = await portal.agreed([customer])
    assert folds[customer].revision == 3


async def test_an_import_that_is_sent_again_changes_nothing(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    lines = [
        {
            "customer_id": customer, "source": "system-test", "source_ref": f"{customer}-import-{n}",
            "unit_number": f"U{n % 7}", "repair_date": MARCH, "status": "COMPLETED",
        }
        for n in range(1200)
    ]  # fmt: skip
    lines.insert(600, lines[0] | {"status": "LOST", "source_ref": "bad"})

    results = [result async for result in portal.writer.import_lines(lines)]
    refused = [result for result in results if result["outcome"] == "refused"]
    assert [result["line"] for result in refused] == [601]
    folds = await portal.agreed([customer])
    assert folds[customer].counts(portal.time_zone).total() == 1200

    again = [result async for result in portal.writer.import_lines(lines)]
    assert {result["outcome"] for result in again} == {"unchanged", "refused"}
    after = await portal.agreed([customer])
    assert after[customer].revision == folds[customer].revision
