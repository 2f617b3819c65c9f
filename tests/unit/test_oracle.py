"""The oracle itself: it finds each planted error and accepts the right result."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.oracle import compare, hops, rules
from tests.oracle.fold import ListBrokenError, check_acks, check_moves, fold

ZONE = "America/Chicago"
CUSTOMER = 42


def event(revision: int, fact: str, **repair: Any) -> dict[str, Any]:
    """Return an event of the customer's stream, about repair `r1` by default."""
    state = {
        "repair_id": "r1", "customer_id": CUSTOMER, "unit_number": "A123", "repair_date": "2026-02-01T05:59:59Z",
        "status": "PENDING", "cost": "50.00", "removed": False, "source": "test", "source_ref": "1",
        "description": "", "damage_type": "", "technician": "", "customer_notes": "", "technician_notes": "",
        "requested_by": "internal", "batch_id": None,
    } | repair  # fmt: skip
    return {
        "id": f"e{revision}",
        "type": f"com.rswindrepair.repair.{fact}.v1",
        "data": {
            "customer_id": CUSTOMER,
            "revision": revision,
            "previous": f"e{revision - 1}" if revision > 1 else None,
            "repair": state,
        },
    }


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return [
        event(1, "recorded"),
        event(2, "status-changed", status="APPROVED"),
        event(3, "recorded", repair_id="r2", unit_number="B456", status="DENIED"),
        event(4, "removed", repair_id="r2", unit_number="B456", status="DENIED", removed=True),
    ]


def test_a_list_folds_to_what_is_present(events: list[dict[str, Any]]) -> None:
    counts = fold(CUSTOMER, events).counts(ZONE)

    assert counts.total() == 1
    assert counts.bodies()["units"] == b'[{"unit_number": "A123", "repair_count": 1}]'
    assert counts.bodies()["months"] == b'[{"date": "2026-01", "count": 1}]'
    assert fold(CUSTOMER, events[:3]).counts(ZONE).total() == 2


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_gap_is_found(events: list[dict[str, Any]], place: int) -> None:
    del events[place]
    with pytest.raises(ListBrokenError):
        fold(CUSTOMER, events)


def test_a_fork_is_found(events: list[dict[str, Any]]) -> None:
    events[2]["data"]["previous"] = "e7"
    with pytest.raises(ListBrokenError):
        fold(CUSTOMER, events)


def test_an_illegal_move_is_found(events: list[dict[str, Any]]) -> None:
    check_moves(events)
    events[0]["data"]["repair"]["status"] = "COMPLETED"
    with pytest.raises(AssertionError, match="moves COMPLETED to APPROVED"):
        check_moves(events)


def test_a_lost_change_and_an_event_of_nobody_are_found(events: list[dict[str, Any]]) -> None:
    listed = {(CUSTOMER, one["data"]["revision"]): one for one in events}
    changes = {place: one["data"]["repair"] for place, one in listed.items()}
    check_acks(listed, changes)

    with pytest.raises(AssertionError, match="no answer speaks of"):
        check_acks(listed, {place: body for place, body in changes.items() if place[1] != 2})
    with pytest.raises(KeyError):
        check_acks({place: one for place, one in listed.items() if place[1] != 2}, changes)


def tables(events: list[dict[str, Any]]) -> hops.Tables:
    """Return the tables of a correct projector after these events."""
    folded = fold(CUSTOMER, events)
    return hops.Tables(
        folded.revision,
        folded.event_id,
        copy.deepcopy(folded.repairs),
        dict(folded.changed),
        folded.counts(ZONE),
        [(one["data"]["revision"], one["id"]) for one in events],
    )


def test_each_wrong_row_of_the_read_model_is_found(events: list[dict[str, Any]]) -> None:
    folds = {CUSTOMER: fold(CUSTOMER, events)}
    compare._portal(folds, {CUSTOMER: tables(events)}, ZONE)
    wrongs = [tables(events) for _ in range(6)]
    wrongs[0].counts.units["A123"] = 2
    wrongs[1].counts.months["2026-02"] = 1
    wrongs[2].repairs["r1"]["status"] = "PENDING"
    del wrongs[3].repairs["r2"]
    wrongs[4].revision = 3
    wrongs[5].history.pop()
    for wrong in wrongs:
        with pytest.raises(compare.HopDiffersError):
            compare._portal(folds, {CUSTOMER: wrong}, ZONE)


def test_an_old_document_is_found(events: list[dict[str, Any]]) -> None:
    folds = {CUSTOMER: fold(CUSTOMER, events)}
    right = {name.encode(): body for name, body in folds[CUSTOMER].counts(ZONE).bodies().items()}
    compare._documents(folds, {CUSTOMER: right}, ZONE)
    with pytest.raises(compare.HopDiffersError, match="redis"):
        compare._documents(folds, {CUSTOMER: right | {b"units": b"[]"}}, ZONE)


def test_the_month_is_that_of_the_place_and_of_its_clock() -> None:
    assert rules.month_of("2026-03-01T05:59:59Z", ZONE) == "2026-02"
    assert rules.month_of("2026-07-01T05:00:00Z", ZONE) == "2026-07"
    assert rules.month_of("2026-07-01T04:59:59Z", ZONE) == "2026-06"
