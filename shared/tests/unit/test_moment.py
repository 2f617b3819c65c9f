from datetime import UTC, datetime

import pytest

from repair_events.moment import moment_of
from repair_events.month import Months


@pytest.mark.parametrize("offset", ["Z", "+00:00", "-23:59", "+23:59", "+05:45"])
def test_an_offset_that_exists_is_read(offset: str) -> None:
    text = f"2026-03-01T14:30:00.5{offset}"
    assert moment_of(text) == datetime.fromisoformat(text)
    assert moment_of(text).tzinfo is UTC


@pytest.mark.parametrize(
    "offset", ["", "+14:60", "-00:99", "+24:00", "-99:00", "+1:00", "+0100", "+01:00:30", "z", "-"]
)
def test_an_offset_that_does_not_exist_is_refused_in_commands_and_events(offset: str) -> None:
    text = f"2026-03-01T14:30:00{offset}"
    with pytest.raises(ValueError, match="an offset between -23:59 and"):
        moment_of(text)
    with pytest.raises(ValueError, match="an offset between -23:59 and"):
        Months("America/Chicago").month_of(text)


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "0001-01-01T00:00:00+01:00"])
def test_a_day_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="that exists"):
        moment_of(text)


def test_a_long_text_is_refused_by_its_length() -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        moment_of(f"2026-03-01T14:30:00.{'0' * 1_000_000}Z")
