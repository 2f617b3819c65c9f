import pytest

from repair_events.status import CUSTOMER_DECISIONS, MOVES, STATUSES, is_status


def test_the_six_statuses_stand_in_the_order_of_the_portals_document() -> None:
    assert STATUSES == ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("REQUESTED", "PENDING APPROVED IN_PROGRESS COMPLETED DENIED"),
        ("PENDING", "APPROVED IN_PROGRESS COMPLETED DENIED"),
        ("APPROVED", "PENDING IN_PROGRESS COMPLETED DENIED"),
        ("IN_PROGRESS", "APPROVED COMPLETED"),
        ("DENIED", "PENDING APPROVED"),
        ("COMPLETED", ""),
    ],
)
def test_a_repair_may_move_exactly_as_the_design_says(before: str, after: str) -> None:
    assert MOVES[before] == frozenset(after.split())


def test_no_status_moves_to_itself_and_none_back_to_requested() -> None:
    for before, after in MOVES.items():
        assert before not in after
        assert "REQUESTED" not in after
        assert after <= set(STATUSES)
    assert set(MOVES) == set(STATUSES)


def test_the_moves_cannot_be_changed_by_a_reader() -> None:
    with pytest.raises(TypeError):
        MOVES["COMPLETED"] = frozenset({"PENDING"})  # type: ignore[index]


def test_a_customer_may_only_decide_what_is_pending() -> None:
    assert frozenset({"APPROVED", "DENIED"}) == CUSTOMER_DECISIONS
    assert MOVES["PENDING"] >= CUSTOMER_DECISIONS


@pytest.mark.parametrize("text", ["", "pending", "PENDING ", "IN PROGRESS", "ARCHIVED", "\x00"])
def test_a_word_that_is_not_to_the_letter_is_no_status(text: str) -> None:
    assert not is_status(text)


@pytest.mark.parametrize("text", STATUSES)
def test_each_status_is_one(text: str) -> None:
    assert is_status(text)
