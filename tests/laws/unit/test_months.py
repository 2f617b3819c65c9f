"""Edges of months, computed by hand with a calendar: local midnight, written in UTC."""

import pytest

from repair_events.month import Months

CHICAGO, KOLKATA, AUCKLAND = "America/Chicago", "Asia/Kolkata", "Pacific/Auckland"

#: Zone, the last second of a month and the first of the next, and the two months.
EDGES = [
    # Chicago: -6 in winter; -5 from 8 March to 1 November 2026, so March has an hour less.
    (CHICAGO, "2026-03-01T05:59:59Z", "2026-03-01T06:00:00Z", "2026-02", "2026-03"),
    (CHICAGO, "2026-04-01T04:59:59Z", "2026-04-01T05:00:00Z", "2026-03", "2026-04"),
    (CHICAGO, "2026-06-01T04:59:59Z", "2026-06-01T05:00:00Z", "2026-05", "2026-06"),
    (CHICAGO, "2026-09-01T04:59:59Z", "2026-09-01T05:00:00Z", "2026-08", "2026-09"),
    (CHICAGO, "2026-11-01T04:59:59Z", "2026-11-01T05:00:00Z", "2026-10", "2026-11"),
    (CHICAGO, "2027-01-01T05:59:59Z", "2027-01-01T06:00:00Z", "2026-12", "2027-01"),
    (CHICAGO, "2028-03-01T05:59:59Z", "2028-03-01T06:00:00Z", "2028-02", "2028-03"),
    # Kolkata: +5:30, always.
    (KOLKATA, "2026-01-31T18:29:59Z", "2026-01-31T18:30:00Z", "2026-01", "2026-02"),
    (KOLKATA, "2026-02-28T18:29:59Z", "2026-02-28T18:30:00Z", "2026-02", "2026-03"),
    (KOLKATA, "2028-02-29T18:29:59Z", "2028-02-29T18:30:00Z", "2028-02", "2028-03"),
    (KOLKATA, "2000-02-29T18:29:59Z", "2000-02-29T18:30:00Z", "2000-02", "2000-03"),
    (KOLKATA, "2026-05-31T18:29:59Z", "2026-05-31T18:30:00Z", "2026-05", "2026-06"),
    (KOLKATA, "2026-12-31T18:29:59Z", "2026-12-31T18:30:00Z", "2026-12", "2027-01"),
    # Auckland: +13 in its summer, +12 from 5 April to 27 September 2026.
    (AUCKLAND, "2026-01-31T10:59:59Z", "2026-01-31T11:00:00Z", "2026-01", "2026-02"),
    (AUCKLAND, "2028-02-29T10:59:59Z", "2028-02-29T11:00:00Z", "2028-02", "2028-03"),
    (AUCKLAND, "2026-03-31T10:59:59Z", "2026-03-31T11:00:00Z", "2026-03", "2026-04"),
    (AUCKLAND, "2026-04-30T11:59:59Z", "2026-04-30T12:00:00Z", "2026-04", "2026-05"),
    (AUCKLAND, "2026-05-31T11:59:59Z", "2026-05-31T12:00:00Z", "2026-05", "2026-06"),
    (AUCKLAND, "2026-08-31T11:59:59Z", "2026-08-31T12:00:00Z", "2026-08", "2026-09"),
    (AUCKLAND, "2026-09-30T10:59:59Z", "2026-09-30T11:00:00Z", "2026-09", "2026-10"),
    (AUCKLAND, "2026-10-31T10:59:59Z", "2026-10-31T11:00:00Z", "2026-10", "2026-11"),
    (AUCKLAND, "2026-12-31T10:59:59Z", "2026-12-31T11:00:00Z", "2026-12", "2027-01"),
]

#: The skipped hour and the repeated hour: never another month.
CHANGES_OF_CLOCK = [
    (CHICAGO, "2026-03-08T07:59:59Z", "2026-03"),
    (CHICAGO, "2026-03-08T08:00:00Z", "2026-03"),
    (CHICAGO, "2026-11-01T06:30:00Z", "2026-11"),
    (CHICAGO, "2026-11-01T07:30:00Z", "2026-11"),
    (AUCKLAND, "2026-04-04T13:30:00Z", "2026-04"),
    (AUCKLAND, "2026-04-04T14:30:00Z", "2026-04"),
    (AUCKLAND, "2026-09-26T13:59:59Z", "2026-09"),
    (AUCKLAND, "2026-09-26T14:00:00Z", "2026-09"),
]


@pytest.mark.parametrize(("zone", "last", "first", "before", "after"), EDGES)
def test_a_month_ends_at_midnight_there(
    zone: str, last: str, first: str, before: str, after: str
) -> None:
    months = Months(zone)

    assert (months.month_of(last), months.month_of(first)) == (before, after)


@pytest.mark.parametrize(("zone", "moment", "month"), CHANGES_OF_CLOCK)
def test_a_change_of_clock_changes_no_month(zone: str, moment: str, month: str) -> None:
    assert Months(zone).month_of(moment) == month
