from datetime import datetime
from zoneinfo import ZoneInfo

from portal_query.api import wording
from portal_query.api.wording import Counts
from portal_query.document import STATUS_LIST, nothing_yet, render


def test_nothing_is_said_plainly() -> None:
    statuses = render(nothing_yet(1)).bodies[STATUS_LIST]
    assert Counts.of(b"[]", b"[]", statuses, "2026-03").sentences == {
        "units": "No unit has been repaired yet.",
        "months": "No repair has been recorded yet.",
        "statuses": "No repair has been recorded yet.",
    }


def test_each_card_says_its_main_thing() -> None:
    counts = Counts(
        units=[
            {"unit_number": "A1", "repair_count": 1500},
            {"unit_number": "B", "repair_count": 1},
        ],
        months=[{"date": "2026-01", "count": 1}, {"date": "2026-02", "count": 1500}],
        statuses=[{"status": "PENDING", "count": 1}, {"status": "COMPLETED", "count": 1500}],
        current_month="2026-03",
        unit_count=2,
    )
    assert counts.sentences == {
        "units": "1,501 repairs on 2 units; A1 has most, 1,500 (100 %).",
        "months": "Most in February 2026: 1,500 repairs.",
        "statuses": "1 open, 1 for your decision.",
    }


def test_one_unit_and_nothing_to_decide() -> None:
    counts = Counts(
        [{"unit_number": "A1", "repair_count": 1}],
        [],
        [{"status": "DENIED", "count": 1}],
        "2026-03",
        unit_count=1,
    )
    assert counts.sentences["units"] == "1 repair, on unit A1."
    assert counts.sentences["statuses"] == "0 open, none waits for your decision."


def test_a_month_that_is_not_over_is_said_to_be_unfinished() -> None:
    months = [{"date": "2026-02", "count": 7}, {"date": "2026-03", "count": 3}]
    counts = Counts([], months, [], "2026-03", unit_count=0)
    assert counts.sentences["months"] == (
        "Most in February 2026: 7 repairs. March is not over: 3 so far."
    )
    counts = Counts([], months[1:], [], "2026-03", unit_count=0)
    assert counts.sentences["months"] == "Most in March 2026: 3 repairs so far."


def test_a_month_is_compared_with_the_whole_one_before() -> None:
    def note(now: int, before: int) -> str:
        completed = {"count": now, "month_before": "2026-02", "count_before": before}
        return wording.completed_note(completed)

    assert note(3, 12) == "12 in February, 9 fewer so far"
    assert note(12, 3) == "3 in February, 9 more already"
    assert note(3, 3) == "3 in February, as many so far"


def test_a_change_of_another_year_is_told_by_its_day() -> None:
    zone = ZoneInfo("America/Chicago")
    now = datetime(2026, 3, 5, tzinfo=zone)
    assert wording.when(datetime(2026, 3, 5, 0, 3, tzinfo=zone), now) == "Mar 5, 12:03\u202fAM"
    assert wording.when(datetime(2025, 3, 5, 0, 3, tzinfo=zone), now) == "Mar 5, 2025"


def test_shares_are_rounded_half_up_and_something_is_never_nothing() -> None:
    assert [wording.share(n, 8) for n in (0, 1, 3, 8)] == ["0 %", "13 %", "38 %", "100 %"]
    assert wording.share(1, 1000) == "< 1 %"
    assert wording.share(0, 0) == ""


def test_times_read_as_the_script_writes_them() -> None:
    zone = ZoneInfo("America/Chicago")
    assert wording.clock(datetime(2026, 3, 5, 0, 3, 4, tzinfo=zone)) == "12:03:04\u202fAM"
    assert wording.clock(datetime(2026, 3, 5, 14, 3, 4, tzinfo=zone)) == "2:03:04\u202fPM"
    assert wording.day(datetime(2026, 3, 5, tzinfo=zone)) == "March 5, 2026"
