"""Filters of the list on its page: the active filters in words, and the links that change them.

All of it derives from the address; this module reads no repair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import urlencode

from portal_query.api.wording import LABELS, month_name
from portal_query.read_model.repairs import SORTS, Sort

LIST_PATH: Final = "/customer/repairs/"
EXPORT_PATH: Final = "/customer/api/repairs/export.csv"
#: Parameters of the page alone; the rest are parameters of the list.
PAGE_ONLY: Final = frozenset({"seen", "view"})
#: Parameters that select repairs; sort, limit and cursor only arrange them.
FILTERS: Final = ("status", "unit", "month", "from", "to", "q")
#: Direction of a column at the first click: words ascending, numbers and days descending.
_ASCENDING_FIRST: Final = frozenset({"unit_number"})

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Chip:
    """One active filter: its words, and the list without it."""

    text: str
    without: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A sortable column: the list sorted by it, and its present order (`aria-sort`)."""

    address: str
    sorted: str | None


class ListAddress:
    """Address of a list, without the parameters that a form left empty."""

    def __init__(self, parameters: Pairs) -> None:
        given = [(name, value) for name, value in parameters if value.strip()]
        self.asked: Pairs = [pair for pair in given if pair[0] not in PAGE_ONLY]
        self._page_only = {name: value for name, value in given if name in PAGE_ONLY}
        self._kept = [pair for pair in self.asked if pair[0] not in {"cursor", "limit"}]

    @property
    def seen(self) -> str | None:
        """Return the revision of the visitor's own change, as text."""
        return self._page_only.get("seen")

    @property
    def is_sheet(self) -> bool:
        """Return whether the list is a sheet to print."""
        return self._page_only.get("view") == "print"

    @property
    def is_filtered(self) -> bool:
        """Return whether the list leaves repairs out."""
        return any(name in FILTERS for name, _ in self.asked)

    def values(self, name: str) -> list[str]:
        """Return the values of a parameter, as typed."""
        return [value for given, value in self.asked if given == name]

    def value(self, name: str) -> str:
        """Return the first value of a parameter, empty without one."""
        return next(iter(self.values(name)), "")

    @property
    def here(self) -> str:
        """Return the address of this page for its forms, with its position in the list."""
        return _address(LIST_PATH, self.asked)

    @property
    def first_page(self) -> str:
        """Return the address of the first page."""
        return _address(LIST_PATH, self._kept)

    @property
    def unfiltered(self) -> str:
        """Return the list of all repairs, sorted as this one."""
        return _address(LIST_PATH, [pair for pair in self._kept if pair[0] not in FILTERS])

    @property
    def export(self) -> str:
        """Return the file of exactly these repairs."""
        return _address(EXPORT_PATH, self._kept)

    @property
    def sheet(self) -> str:
        """Return the list as a sheet to print."""
        return _address(LIST_PATH, [*self._kept, ("view", "print")])

    def after(self, cursor: str) -> str:
        """Return the next page."""
        kept = [pair for pair in self.asked if pair[0] != "cursor"]
        return _address(LIST_PATH, [*kept, ("cursor", cursor)])

    def chips(self) -> list[Chip]:
        """Return the active filters, each with the list that remains without it."""
        return [
            Chip(
                _capitalised(words_of(*pair)),
                _address(LIST_PATH, [one for one in self._kept if one != pair]),
            )
            for pair in dict.fromkeys(self._kept)
            if pair[0] in FILTERS
        ]

    def headings(self, sort: Sort) -> Mapping[str, Heading]:
        """Return the sortable columns, by name."""
        return {by: self._heading(by, sort) for by in SORTS}

    def _heading(self, by: str, sort: Sort) -> Heading:
        current = sort.by == by
        descending = not sort.descending if current else by not in _ASCENDING_FIRST
        kept = [pair for pair in self._kept if pair[0] != "sort"]
        view = [("view", "print")] if self.is_sheet else []
        order = f"-{by}" if descending else by
        address = _address(LIST_PATH, [*kept, ("sort", order), *view])
        if not current:
            return Heading(address, None)
        return Heading(address, "descending" if sort.descending else "ascending")


def sentence_of(address: ListAddress) -> str:
    """Return the filters in words: "Waiting for you, unit A123"; empty without any."""
    statuses = " or ".join(
        words_of("status", one) for one in dict.fromkeys(address.values("status"))
    )
    others = [words_of(name, address.value(name)) for name in FILTERS[1:] if address.value(name)]
    return ", ".join([*([statuses] if statuses else []), *others])


def words_of(name: str, value: str) -> str:
    """Return one filter in words."""
    return _WORDS[name](value)


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def _day(value: str) -> str:
    day = date.fromisoformat(value)
    return f"{day:%b} {day.day}, {day.year}"


def _address(path: str, parameters: Pairs) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


_WORDS: Final[Mapping[str, Callable[[str], str]]] = {
    "status": lambda value: LABELS.get(value, value),
    "unit": lambda value: f"unit {value}",
    "month": month_name,
    "from": lambda value: f"from {_day(value)}",
    "to": lambda value: f"until {_day(value)}",
    "q": lambda value: f"“{value}”",
}
