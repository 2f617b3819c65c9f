"""Bounds on the length of a filtered list, from the counts, without reading its repairs. Pure.

A repair counts once for its unit, its month and its status. So a list with one condition has
exactly that many repairs. A list with several has at most the fewest of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TypeAlias

from portal_query.counting import Dimension
from portal_query.read_model.repairs import RepairFilter

#: Counts of one customer: all statuses and months, and the requested unit.
Known: TypeAlias = Mapping[tuple[Dimension, str], int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The number of repairs that a filter leaves: at most `at_most`.

    The exact number is `exactly` plus the repairs of the lists in `beside`. None in `beside` means
    that only reading the repairs gives it. A list in `beside` is the part of a month at one end of
    a range of days. Together these lists have at most `edges` repairs.
    """

    at_most: int
    exactly: int = 0
    beside: tuple[RepairFilter, ...] | None = None
    edges: int = 0


def bounds_of(which: RepairFilter, known: Known) -> Bounds:
    """Return the bounds of a filter, from these counts."""
    every = sum(n for (dimension, _), n in known.items() if dimension is Dimension.STATUS)
    left = list(_left(which, known))
    at_most = min([every, *(one.at_most for one in left)])
    if which.text is not None or len(left) > 1:
        return Bounds(at_most)
    return left[0] if left else Bounds(every, every, ())


def _left(which: RepairFilter, known: Known) -> Iterator[Bounds]:
    if which.statuses:
        n = sum(known.get((Dimension.STATUS, one), 0) for one in set(which.statuses))
        yield Bounds(n, n, ())
    if which.unit is not None:
        n = known.get((Dimension.UNIT, which.unit), 0)
        yield Bounds(n, n, ())
    if which.month is not None:
        n = known.get((Dimension.MONTH, which.month), 0)
        yield Bounds(n, n, ())
    if which.since is not None or which.until is not None:
        yield _days(which, known)


def _days(which: RepairFilter, known: Known) -> Bounds:
    """Return the bounds of a range of days, which may cut the month at either end."""
    first = "" if which.since is None else f"{which.since:%Y-%m}"
    last = "~" if which.until is None else f"{which.until - timedelta.resolution:%Y-%m}"
    cut = {
        *([first] if which.since is not None and not _begins_a_month(which.since) else []),
        *([last] if which.until is not None and not _begins_a_month(which.until) else []),
    }
    months = {
        month: n
        for (dimension, month), n in known.items()
        if dimension is Dimension.MONTH and first <= month <= last
    }
    edges = sum(n for month, n in months.items() if month in cut)
    every = sum(months.values())
    beside = tuple(
        RepairFilter(month=month, since=which.since, until=which.until) for month in sorted(cut)
    )
    return Bounds(every, every - edges, beside, edges)


def _begins_a_month(moment: datetime) -> bool:
    return moment.day == 1 and moment.time() == time()
