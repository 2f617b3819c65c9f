from datetime import datetime
from zoneinfo import ZoneInfo

from portal_query.api import wording
from portal_query.api.wording import Figures, figures_of
from portal_query.document import STATUS_LIST, nothing_yet, render


def test_nothing_is_said_plainly() -> None:
    statuses = render(nothing_yet(1)).bodies[STATUS_LIST]
    assert figures_of(b"[]", b"[]", statuses).sentences == {
        "units": "No unit has been repaired yet.",
        "months": "No repair has been recorded yet.",
        "statuses": "No repair has been recorded yet.",
    }


def test_each_card_says_its_main_thing() -> None:
    figures = Figures(
        units=[
            {"unit_number": "A1", "repair_count": 1500},
            {"unit_number": "B", "repair_count": 1},
        ],
        months=[{"date": "2026-01", "count": 1}, {"date": "2026-02", "count": 1500}],
        statuses=[{"status": "PENDING", "count": 1}, {"status": "COMPLETED", "count": 1500}],
    )
    assert figures.sentences == {
        "units": "1,501 repairs on 2 units; A1 has most, 1,500 (100 %).",
        "months": "Most in February 2026: 1,500 repairs.",
        "statuses": "1 open, 1 for your decision.",
    }


def test_one_unit_and_nothing_to_decide() -> None:
    figures = Figures(
        [{"unit_number": "A1", "repair_count": 1}], [], [{"status": "DENIED", "count": 1}]
    )
    assert figures.sentences["units"] == "1 repair, on unit A1."
    assert figures.sentences["statuses"] == "0 open, none waits for your decision."


def test_shares_are_rounded_half_up() -> None:
    assert [wording.share(n, 8) for n in (0, 1, 3, 8)] == ["0 %", "13 %", "38 %", "100 %"]
    assert wording.share(0, 0) == ""


def test_times_read_as_the_script_writes_them() -> None:
    zone = ZoneInfo("America/Chicago")
    assert wording.clock(datetime(2026, 3, 5, 0, 3, 4, tzinfo=zone)) == "12:03:04\u202fAM"
    assert wording.clock(datetime(2026, 3, 5, 14, 3, 4, tzinfo=zone)) == "2:03:04\u202fPM"
    assert wording.day(datetime(2026, 3, 5, tzinfo=zone)) == "March 5, 2026"
