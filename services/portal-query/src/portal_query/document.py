"""What one customer's counts look like as bytes: the three documented lists, their tag, their order.

Pure. The projector renders a document when a customer changes; the query api sends its bytes as
they are. The text is that of Django's JsonResponse (`json.dumps` with its defaults), because the
pages that read it were written against that, and it is one document for all three lists, so that
no reader ever sees two of them from different moments.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from repair_events.status import STATUSES

UNITS: Final = "units"
MONTHS: Final = "months"
STATUS_LIST: Final = "statuses"
#: The three lists, by the names that they have in a document.
VIEWS: Final = (UNITS, MONTHS, STATUS_LIST)

#: What `Document.frozen` says when a customer stands still and nobody knows since when.
FROZEN_UNKNOWN: Final = "unknown"

_SCRIPT_ESCAPES: Final = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which fold of which length: a higher refold is newer whatever its revision."""

    refold: int
    revision: int


@dataclass(frozen=True, slots=True)
class Counts:
    """A customer's counts after exactly the first `revision` events of the list.

    `event_id` is the last of them (None before the first). `frozen` says that the customer is
    parked or being refolded: then `frozen_as_of` (None: not known) holds instead of the time of
    its partition. Units and months are pairs of name and count, in any order, without zeros.
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
    """The bytes that readers get. `tag` is the ETag's text without its quotes.

    `frozen` is empty while the customer flows with its partition; else an RFC 3339 time, or
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
        """Which fold of which length this is."""
        return Version(self.refold, self.revision)


@dataclass(frozen=True, slots=True)
class State:
    """What an answer says about itself.

    `as_of`: everything accepted before it is in (None: not known). `frozen`: it stands still.
    """

    version: Version
    tag: str
    as_of: datetime | None
    frozen: bool


def nothing_yet(customer_id: int) -> Counts:
    """Return the counts of a customer of whom no event has been folded yet."""
    return Counts(customer_id, refold=0, revision=0, event_id=None)


def render(counts: Counts) -> Document:
    """Return the document of these counts."""
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
    """Return what names this state among all customers and all copies, for ever.

    Never the revision alone: two customers may stand at the same one, and so may a list before
    and after it was restored.
    """
    return f"{customer_id}.{refold}.{revision}.{event_id or 'none'}"


def version_of(tag: str) -> Version:
    """Return the version that a tag names."""
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
    """Return a JSON body as it may stand inside a `<script>`, escaped as Django's json_script."""
    return body.decode("ascii").translate(_SCRIPT_ESCAPES)


def rfc3339(moment: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, `2026-01-31T12:00:00.123456Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _most_first(unit: tuple[str, int]) -> tuple[int, str]:
    return -unit[1], unit[0]


def _frozen_text(counts: Counts) -> str:
    if not counts.frozen:
        return ""
    return rfc3339(counts.frozen_as_of) if counts.frozen_as_of else FROZEN_UNKNOWN
