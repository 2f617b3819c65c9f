from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.month import Months, UnknownTimeZoneError, fold_version, time_zone

CHICAGO, KOLKATA, AUCKLAND = "America/Chicago", "Asia/Kolkata", "Pacific/Auckland"


@pytest.mark.parametrize(
    ("zone", "moment", "month"),
    [
        # Chicago: six hours behind in winter, five in summer.
        (CHICAGO, "2026-02-01T05:59:59.999999Z", "2026-01"),
        (CHICAGO, "2026-02-01T06:00:00Z", "2026-02"),
        (CHICAGO, "2026-08-01T04:59:59Z", "2026-07"),
        (CHICAGO, "2026-08-01T05:00:00Z", "2026-08"),
        # The clocks go back on 1 November 2026 at 02:00: midnight is still summer time.
        (CHICAGO, "2026-11-01T04:59:59Z", "2026-10"),
        (CHICAGO, "2026-11-01T05:00:00Z", "2026-11"),
        # The hour that comes twice, both times.
        (CHICAGO, "2026-11-01T06:30:00Z", "2026-11"),
        (CHICAGO, "2026-11-01T07:30:00Z", "2026-11"),
        # And the end of that month is winter time.
        (CHICAGO, "2026-12-01T05:59:59Z", "2026-11"),
        (CHICAGO, "2026-12-01T06:00:00Z", "2026-12"),
        (CHICAGO, "2027-01-01T05:59:59Z", "2026-12"),
        # Kolkata: five and a half hours ahead, never changed.
        (KOLKATA, "2026-01-31T18:29:59Z", "2026-01"),
        (KOLKATA, "2026-01-31T18:30:00Z", "2026-02"),
        (KOLKATA, "2026-12-31T18:30:00Z", "2027-01"),
        # Auckland: thirteen hours ahead in its summer, twelve in its winter.
        (AUCKLAND, "2026-01-31T10:59:59Z", "2026-01"),
        (AUCKLAND, "2026-01-31T11:00:00Z", "2026-02"),
        (AUCKLAND, "2026-07-31T11:59:59Z", "2026-07"),
        (AUCKLAND, "2026-07-31T12:00:00Z", "2026-08"),
        # The clocks go forward on 27 September 2026, so the month ends an hour earlier in UTC.
        (AUCKLAND, "2026-09-30T10:59:59Z", "2026-09"),
        (AUCKLAND, "2026-09-30T11:00:00Z", "2026-10"),
        (AUCKLAND, "2026-03-31T11:00:00Z", "2026-04"),
        # 29 February.
        (CHICAGO, "2028-03-01T05:59:59Z", "2028-02"),
        # Offsets other than Z denote the same moment.
        (CHICAGO, "2026-02-01T11:29:59+05:30", "2026-01"),
        (CHICAGO, "2026-01-31T22:00:00-08:00", "2026-02"),
        ("UTC", "1990-01-01T00:00:00Z", "1990-01"),
        (CHICAGO, "1990-01-01T00:00:00Z", "1989-12"),
    ],
)
def test_a_repair_counts_in_the_month_of_its_date_on_the_portals_wall(
    zone: str, moment: str, month: str
) -> None:
    months = Months(zone)
    assert months.month_of(moment) == month
    assert months.month_of(moment) == month, "and when it is asked for again"
    assert months.month_of(datetime.fromisoformat(moment)) == month


#: Hypothesis takes naive bounds and adds the zone itself.
FIRST, LAST = datetime(1990, 1, 2), datetime(2099, 12, 30)  # noqa: DTZ001


@given(
    st.sampled_from([CHICAGO, KOLKATA, AUCKLAND, "America/Sao_Paulo", "Pacific/Apia"]),
    st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    st.integers(-14 * 4, 14 * 4),
)
def test_the_month_depends_on_the_moment_and_not_on_how_it_is_written(
    zone: str, moment: datetime, quarters: int
) -> None:
    months = Months(zone)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=15 * quarters)))
    expected = moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m")
    assert months.month_of(moment.isoformat()) == expected
    assert months.month_of(elsewhere.isoformat()) == expected
    assert months.month_of(elsewhere) == expected


@given(st.datetimes(FIRST, LAST, timezones=st.just(UTC)))
def test_a_later_moment_never_counts_in_an_earlier_month(moment: datetime) -> None:
    months = Months(CHICAGO)
    assert months.month_of(moment) <= months.month_of(moment + timedelta(hours=5))


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_text_that_is_no_moment_or_has_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Months(CHICAGO).month_of(text)


def test_a_moment_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        Months(CHICAGO).month_of(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "name", ["", "Chicago", "America", "../etc/passwd", "/etc/passwd", "a\x00"]
)
def test_a_name_that_is_no_time_zone_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(UnknownTimeZoneError, match="America/Chicago"):
        time_zone(name)


def test_another_zone_or_rule_is_another_fold_version() -> None:
    assert fold_version(CHICAGO) != fold_version(AUCKLAND)
    assert fold_version(CHICAGO) == "1:America/Chicago"


def test_more_dates_than_the_cache_holds_are_still_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repair_events.month._CACHE_SIZE", 3)
    months = Months(CHICAGO)
    for _ in range(2):
        for month in range(1, 13):
            assert months.month_of(f"2026-{month:02d}-15T12:00:00Z") == f"2026-{month:02d}"
