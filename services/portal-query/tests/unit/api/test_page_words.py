from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from portal_query.api.pages.again import Again
from portal_query.api.pages.words import Words, happenings
from portal_query.read_model.repairs import HistoryLine

NOON = datetime(2026, 1, 1, 4, 5, tzinfo=UTC)


def line(revision: int, fact: str, status: str) -> HistoryLine:
    return HistoryLine(revision, fact, NOON, NOON, "company", status, None)


def test_days_and_times_are_those_of_the_portals_zone() -> None:
    say = Words(ZoneInfo("America/Chicago"))
    assert say.when(NOON) == "Dec 31, 2025, 10:05 PM"
    assert say.money(Decimal("1234.5")) == "$1,234.50"


def test_a_history_says_what_happened_each_time() -> None:
    told = happenings(
        [
            line(1, "requested", "REQUESTED"),
            line(2, "corrected", "REQUESTED"),
            line(3, "corrected", "PENDING"),
            line(4, "status-changed", "APPROVED"),
            line(5, "removed", "APPROVED"),
            line(6, "restored", "APPROVED"),
            line(7, "of-tomorrow", "APPROVED"),
        ]
    )
    assert [what for _, what in told] == [
        "Requested",
        "Details corrected",
        "Sent to you for a decision",
        "Approved",
        "Removed",
        "Restored",
        "Changed",
    ]
    assert happenings([line(1, "recorded", "COMPLETED")])[0][1] == "Recorded as Completed"


def test_the_same_attempt_keeps_its_key_and_another_has_a_new_one() -> None:
    assert Again(values={"idempotency_key": "abc"}).idempotency_key == "abc"
    assert Again().idempotency_key != Again().idempotency_key


def test_what_was_typed_comes_back_by_field() -> None:
    again = Again(values={"unit": "A1", "repair": ["x", "y"]})
    assert (again.typed("unit"), again.typed("other", "mine")) == ("A1", "mine")
    assert again.chosen("repair") == {"x", "y"}
    assert again.chosen("unit") == {"A1"}
