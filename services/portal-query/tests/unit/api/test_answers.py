from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_query.api.answers import Wanted, is_known, lag_seconds, state_headers, wanted_of
from portal_query.document import State, Version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(st.timedeltas(timedelta(), timedelta(days=9)))
def test_a_lag_is_never_smaller_than_the_truth(behind: timedelta) -> None:
    lag = lag_seconds(NOW - behind, NOW)
    assert timedelta(0) <= timedelta(seconds=lag) - behind < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (b'"1.1.2.e"', True),
        (b'W/"1.1.2.e"', True),
        (b'"x", , "1.1.2.e",', True),
        (b' "1.1.2.e"\t', True),
        (b"*", True),
        (b'"a, "1.1.2.e"', False),
        (b'"1.1.2"', False),
        (b"1.1.2.e", False),
        (b"", False),
        (None, False),
    ],
)
def test_an_answer_is_known_by_any_tag_of_the_list(header: bytes | None, known: bool) -> None:
    assert is_known(header, "1.1.2.e") is known


def test_a_clock_that_runs_ahead_makes_no_negative_lag() -> None:
    assert lag_seconds(NOW + timedelta(seconds=3), NOW) == 0


def test_a_time_that_is_not_known_is_not_claimed() -> None:
    names = {name for name, _ in state_headers(State(Version(1, 2), "1.1.2.e", None, False), NOW)}
    assert b"portal-revision" in names
    assert not names & {b"portal-as-of", b"portal-lag"}


@pytest.mark.parametrize(
    ("wanted", "version", "reached"),
    [
        (Wanted(5), Version(9, 5), True),
        (Wanted(5), Version(9, 4), False),
        (Wanted(5, 9), Version(9, 5), True),
        (Wanted(5, 9), Version(9, 4), False),
        (Wanted(5, 9), Version(10, 1), True),
        (Wanted(5, 9), Version(8, 99), False),
    ],
)
def test_what_was_seen_is_never_followed_by_something_older(
    wanted: Wanted, version: Version, reached: bool
) -> None:
    assert wanted.reached_by(version) is reached


def test_without_a_least_revision_nothing_is_waited_for() -> None:
    assert wanted_of(None, b"7") is None
    assert wanted_of(b"3", None) == Wanted(3)
    assert wanted_of(b"9223372036854775807", b"0") == Wanted(2**63 - 1, 0)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (b'"t"', True),
        (b'W/"t"', True),
        (b'"x", W/"t"', True),
        (b"*", True),
        (b'"tt"', False),
        (b"t", False),
        (b"", False),
    ],
)
def test_tags_are_compared_weakly_and_whole(header: bytes, known: bool) -> None:
    assert is_known(header, "t") is known
