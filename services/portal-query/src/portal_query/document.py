"""Cached counts of one customer as bytes: the three documented lists, their tag, their order.

Pure. The projector renders them when a customer changes. The query API sends the bytes unchanged.
The text is that of Django's JsonResponse (`json.dumps` with its defaults), which the existing pages
expect. One document holds all three lists, so a reader never sees two of them from different
moments.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from repair_events.status import STATUSES

UNITS: Final = "units"
MONTHS: Final = "months"
STATUS_LIST: Final = "statuses"
#: The three lists, by their names in a document.
VIEWS: Final = (UNITS, MONTHS, STATUS_LIST)

#: `Document.frozen` of a frozen customer when the time is not known.
FROZEN_UNKNOWN: Final = "unknown"

_SCRIPT_ESCAPES: Final = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The epoch and revision of a customer's counts. A higher epoch is newer at any revision."""

    refold: int
    revision: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A customer's counts after exactly the first `revision` events of its stream.

    `event_id` is the last of them, None before the first. `frozen` means parked or waiting for a
    rebuild: `frozen_as_of` (None: not known) then replaces the watermark of the partition. Units
    and months are pairs of name and count, in any order, without zeros.
    """

    customer_id: int
    refold: int
    revision: int
    event_id: str | None
    accepted_at: datetime | None = None
    frozen: bool = False
    frozen_as_of: datetime | None = None
    units: list[tuple[str, int]] = field(default_factory=list)
    months: list[tuple[str, int]] = field(default_factory=list)
    statuses: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes for readers. `tag` is the ETag's text without its quotes.

    `frozen` is empty unless the customer is frozen. Then it is an RFC 3339 time, or
    `FROZEN_UNKNOWN`. `bodies` has one entry for each of `VIEWS`.
    """

    customer_id: int
    refold: int
    revision: int
    tag: str
    frozen: str
    bodies: Mapping[str, bytes]

    @property
    def version(self) -> Version:
        """Return the epoch and the revision."""
        return Version(self.refold, self.revision)


@dataclass(frozen=True, slots=True)
class State:
    """The state that an answer reports.

    `as_of`: everything accepted before it is included (None: not known). `frozen`: the customer is
    frozen.
    """

    version: Version
    tag: str
    as_of: datetime | None
    frozen: bool


def nothing_yet(customer_id: int) -> Counts:
    """Return the counts of a customer before its first event."""
    return Counts(customer_id, refold=0, revision=0, event_id=None)


def render(counts: Counts) -> Document:
    """Render these counts as a `Document`."""
    return Document(
        customer_id=counts.customer_id,
        refold=counts.refold,
        revision=counts.revision,
        tag=tag_of(counts.customer_id, counts.refold, counts.revision, counts.event_id),
        frozen=_frozen_text(counts),
        bodies={
            UNITS: unit_list(counts.units),
            MONTHS: month_list(counts.months),
            STATUS_LIST: status_list(counts.statuses),
        },
    )


def tag_of(customer_id: int, refold: int, revision: int, event_id: str | None) -> str:
    """Return the permanent name of this state, unique among all customers and all copies.

    The revision alone is not unique. Two customers may share it, and so may a stream before and
    after a restore.
    """
    return f"{customer_id}.{refold}.{revision}.{event_id or 'none'}"


def version_of(tag: str) -> Version:
    """Return the version in a tag."""
    _, refold, revision, _ = tag.split(".", 3)
    return Version(int(refold), int(revision))


def unit_list(units: Iterable[tuple[str, int]]) -> bytes:
    """Return the body of the unit list: count descending, then unit by code point."""
    ordered = sorted(units, key=_most_first)
    return dumps([{"unit_number": unit, "repair_count": n} for unit, n in ordered])


def month_list(months: Iterable[tuple[str, int]]) -> bytes:
    """Return the body of the month list, ascending ("YYYY-MM" sorts as it reads)."""
    return dumps([{"date": month, "count": n} for month, n in sorted(months)])


def status_list(statuses: Mapping[str, int]) -> bytes:
    """Return the body of the status list: always all six, in the order of work."""
    return dumps([{"status": status, "count": statuses.get(status, 0)} for status in STATUSES])


def dumps(value: object) -> bytes:
    """Return JSON as Django's JsonResponse writes it: `", "`, `": "`, ASCII escapes."""
    return json.dumps(value).encode("ascii")


def escape_for_script(body: bytes) -> str:
    """Return a JSON body for use inside a `<script>`, escaped as Django's json_script does."""
    return body.decode("ascii").translate(_SCRIPT_ESCAPES)


def _most_first(unit: tuple[str, int]) -> tuple[int, str]:
    return -unit[1], unit[0]


def _frozen_text(counts: Counts) -> str:
    if not counts.frozen:
        return ""
    return counts.frozen_as_of.isoformat() if counts.frozen_as_of else FROZEN_UNKNOWN
