"""Verdicts of figures, in both directions, and their ratios to the floor."""

from __future__ import annotations

import pytest
from bench.figures import Figure, percentile


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(10, False, "ok"), (9, False, "SHORT"), (10, True, "ok"), (11, True, "SHORT")],
)
def test_a_target_is_a_bound_from_below_or_from_above(
    value: float, at_most: bool, verdict: str
) -> None:
    figure = Figure(name="x", value=value, unit="/s", target=10, at_most=at_most)

    assert figure.verdict == verdict
    assert verdict in figure.line()


def test_without_target_and_floor_nothing_is_claimed() -> None:
    figure = Figure(name="x", value=5, unit="/s")

    assert (figure.verdict, figure.ratio) == ("", None)
    assert Figure(name="x", value=5, unit="/s", floor=10).as_json()["ratio"] == 0.5


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (
        50,
        99,
        100,
    )
    assert percentile([7.0], 0.99) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
