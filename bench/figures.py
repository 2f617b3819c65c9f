"""Figures of a measurement: a value, its target, and its floor."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number. `target` is from the design; `at_most` means that smaller is better.

    `floor` is the same figure for the bare work in the same run; `floor_is` describes that work.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False
    floor: float | None = None
    floor_is: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return value / floor, None without a floor."""
        return self.value / self.floor if self.floor else None

    @property
    def verdict(self) -> str:
        """Return `ok`, `SHORT` or an empty text (no target)."""
        if self.target is None:
            return ""
        good = self.value <= self.target if self.at_most else self.value >= self.target
        return "ok" if good else "SHORT"

    def as_json(self) -> dict[str, Any]:
        """Return the figure as in the machine-readable report."""
        return asdict(self) | {"ratio": self.ratio, "verdict": self.verdict}

    def line(self) -> str:
        """Return the figure as one line for a person."""
        target = ""
        if self.target is not None:
            target = f"{'<=' if self.at_most else '>='} {_short(self.target)}"
        ratio = (
            f"{self.ratio:5.2f} of {_short(self.floor or 0)} ({self.floor_is})"
            if self.ratio
            else ""
        )
        parts = f"{self.name:<44} {_short(self.value):>10} {self.unit:<11} {target:<10} {self.verdict:<5} {ratio}"
        return parts.rstrip() + (f"\n{'':<46}{self.note}" if self.note else "")


def _short(value: float) -> str:
    """Return a number with three significant digits and thin thousands."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def percentile(values: list[float], share: float) -> float:
    """Return the value below which that share of the values lies (nearest rank).

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
