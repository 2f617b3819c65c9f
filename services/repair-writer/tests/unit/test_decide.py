import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.event import REPAIR_FACTS
from repair_events.repair import Repair
from repair_events.status import CUSTOMER_DECISIONS, MOVES, STATUSES
from repair_writer.repair import (
    Change,
    ChangeStatus,
    Command,
    Correct,
    Record,
    Refusal,
    Remove,
    Restate,
    Restore,
    Unchanged,
    decide,
    undecidable,
)

REPAIR = Repair(
    repair_id="01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e",
    customer_id=7,
    unit_number="A123",
    repair_date="2026-03-01T14:30:00Z",
    status="PENDING",
    customer_notes="Keys are at the gate.",
    technician_notes="Second chip, left.",
    requested_by="customer",
    source="dispatch",
    source_ref="1",
)


def changed(**fields: Any) -> Repair:
    return msgspec.structs.replace(REPAIR, **fields)


def refused(repair: Repair | None, command: Command) -> str:
    decision = decide(repair, command)
    assert isinstance(decision, Refusal), decision
    assert decision.detail
    return decision.code


@pytest.mark.parametrize(("start", "end"), list(itertools.product(STATUSES, STATUSES)))
def test_every_move_is_allowed_or_refused_as_the_table_says(start: str, end: str) -> None:
    decision = decide(changed(status=start), ChangeStatus(status=end, reason="why"))
    if start == end:
        assert decision == Unchanged(repair=changed(status=start))
    elif end in MOVES[start]:
        expected = Change(fact="status-changed", repair=changed(status=end), reason="why")
        assert decision == expected
    else:
        assert isinstance(decision, Refusal)
        assert decision.code == "illegal-move"
        assert decision.allowed == tuple(word for word in STATUSES if word in MOVES[start])


@pytest.mark.parametrize(("start", "end"), list(itertools.product(STATUSES, CUSTOMER_DECISIONS)))
def test_a_customer_decides_what_is_pending_and_nothing_else(start: str, end: str) -> None:
    decision = decide(changed(status=start), ChangeStatus(status=end, by_customer=True))
    if start == end:
        assert isinstance(decision, Unchanged)
    elif start == "PENDING":
        assert isinstance(decision, Change)
        assert decision.repair.status == end
    else:
        assert isinstance(decision, Refusal)
        assert decision.allowed == ()


def test_a_new_repair_is_recorded_and_one_that_a_customer_asked_for_is_requested() -> None:
    internal = changed(requested_by="internal")
    assert decide(None, Record(repair=internal)) == Change(fact="recorded", repair=internal)
    asked = changed(status="REQUESTED")
    assert decide(None, Record(repair=asked)) == Change(fact="requested", repair=asked)


def test_a_repair_of_a_customer_that_is_further_already_is_recorded() -> None:
    assert decide(None, Record(repair=changed(status="COMPLETED"))) == Change(
        fact="recorded", repair=changed(status="COMPLETED")
    )


def test_a_reference_is_recorded_once() -> None:
    decision = decide(REPAIR, Record(repair=changed(repair_id="another")))
    assert isinstance(decision, Refusal)
    assert (decision.code, decision.repair_id) == ("already-recorded", REPAIR.repair_id)


def test_a_removed_reference_stays_taken() -> None:
    assert refused(changed(removed=True), Record(repair=REPAIR)) == "removed"


@pytest.mark.parametrize(
    "command",
    [
        ChangeStatus(status="APPROVED"),
        Correct(given={"unit_number": "B1"}),
        Correct(given={"customer_id": 8}),
        Restate(repair=REPAIR, given={"unit_number": "B1"}),
    ],
)
def test_nothing_but_a_restore_touches_a_removed_repair(command: Command) -> None:
    assert refused(changed(removed=True), command) == "removed"


@pytest.mark.parametrize(
    "command",
    [ChangeStatus(status="APPROVED"), Correct(given={}), Remove(reason="x"), Restore()],
)
def test_what_is_not_there_cannot_be_changed(command: Command) -> None:
    assert refused(None, command) == "repair-unknown"


def test_a_removal_keeps_everything_but_the_repair_does_not_count() -> None:
    decision = decide(REPAIR, Remove(reason="twice"))
    assert decision == Change(fact="removed", repair=changed(removed=True), reason="twice")


def test_a_second_removal_and_a_second_restore_change_nothing() -> None:
    gone = changed(removed=True)
    assert decide(gone, Remove(reason="again")) == Unchanged(repair=gone)
    assert decide(REPAIR, Restore()) == Unchanged(repair=REPAIR)


def test_a_restore_brings_back_exactly_what_was_removed() -> None:
    decision = decide(changed(removed=True), Restore(reason="no duplicate"))
    assert decision == Change(fact="restored", repair=REPAIR, reason="no duplicate")


def test_a_correction_changes_what_is_given_and_keeps_the_status() -> None:
    decision = decide(REPAIR, Correct(given={"cost": "12.00", "unit_number": "B1"}, reason="typo"))
    expected = changed(cost="12.00", unit_number="B1")
    assert decision == Change(fact="corrected", repair=expected, reason="typo")


def test_a_correction_that_says_what_holds_changes_nothing() -> None:
    assert decide(REPAIR, Correct(given={"unit_number": "A123"})) == Unchanged(repair=REPAIR)
    assert decide(REPAIR, Correct(given={"customer_id": 7})) == Unchanged(repair=REPAIR)


def test_a_move_removes_here_records_there_and_leaves_the_notes() -> None:
    decision = decide(REPAIR, Correct(given={"customer_id": 8, "cost": "1.00"}, reason="wrong"))
    there = changed(customer_id=8, cost="1.00", customer_notes="", requested_by="internal")
    assert decision == Change(
        fact="recorded", repair=there, reason="wrong", left=changed(removed=True)
    )


def test_notes_that_come_with_the_move_stand() -> None:
    decision = decide(REPAIR, Correct(given={"customer_id": 8, "customer_notes": "Gate 2"}))
    assert isinstance(decision, Change)
    assert decision.repair.customer_notes == "Gate 2"


def test_an_import_records_corrects_moves_or_leaves_alone() -> None:
    line: dict[str, str | int | None] = {"status": "COMPLETED", "customer_id": 7}
    assert decide(None, Restate(repair=REPAIR, given=line)) == Change(
        fact="recorded", repair=REPAIR
    )
    assert decide(REPAIR, Restate(repair=REPAIR, given=line)) == Change(
        fact="corrected", repair=changed(status="COMPLETED"), reason="import"
    )
    moved = decide(REPAIR, Restate(repair=REPAIR, given=line | {"customer_id": 8}))
    assert isinstance(moved, Change)
    assert moved.left == changed(removed=True)
    again = decide(changed(status="COMPLETED"), Restate(repair=REPAIR, given=line))
    assert isinstance(again, Unchanged)


repairs = st.builds(
    changed,
    status=st.sampled_from(STATUSES),
    removed=st.booleans(),
    customer_id=st.integers(1, 3),
    unit_number=st.sampled_from("AB"),
)


def line(repair: Repair, names: set[str]) -> Restate:
    """Return an import line with the fields of a repair."""
    return Restate(
        repair=msgspec.structs.replace(repair, removed=False),
        given={name: getattr(repair, name) for name in names},
    )


given_fields = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": st.integers(1, 3),
        "unit_number": st.sampled_from("AB"),
        "cost": st.sampled_from(["0.00", "5.00"]),
    },
)
commands = st.one_of(
    st.builds(ChangeStatus, status=st.sampled_from(STATUSES), by_customer=st.booleans()),
    st.builds(Correct, given=given_fields),
    st.builds(Remove, reason=st.just("x")),
    st.builds(Restore),
    st.builds(line, repairs, st.sets(st.sampled_from(["customer_id", "unit_number", "status"]))),
    st.builds(Record, repair=repairs),
)


@given(st.none() | repairs, commands)
def test_a_decision_is_a_change_nothing_or_a_refusal_and_never_loses_the_repair(
    repair: Repair | None, command: Command
) -> None:
    decision = decide(repair, command)
    if isinstance(decision, Unchanged):
        assert decision.repair == repair
    if isinstance(decision, Change):
        assert decision.fact in REPAIR_FACTS
        assert decision.repair != repair
        if repair is not None:
            kept = (repair.repair_id, repair.source, repair.source_ref)
            after = decision.repair
            assert (after.repair_id, after.source, after.source_ref) == kept
            assert (decision.left is None) == (after.customer_id == repair.customer_id)
        if decision.left is not None:
            assert decision.left.removed
            assert not decision.repair.removed


@given(st.none() | repairs, commands)
def test_a_command_done_twice_is_done_once(repair: Repair | None, command: Command) -> None:
    decision = decide(repair, command)
    if isinstance(decision, Change):
        again = decide(decision.repair, command)
        assert not isinstance(again, Change)


def test_what_does_not_wait_for_a_decision_is_refused_with_the_reason() -> None:
    refusal = undecidable(REPAIR, "RS Wind approved it a minute ago.")
    assert (refusal.code, refusal.detail) == ("illegal-move", "RS Wind approved it a minute ago.")
    assert (refusal.allowed, refusal.repair_id) == ((), REPAIR.repair_id)
