"""Cached counts of one customer as bytes: the three documented lists, their tag, their order.

Pure. The projector renders them when a customer changes. The query API sends the bytes unchanged.
The text is that of Django's JsonResponse (`json.dumps` with its defaults), which the existing pages
expect. One document holds all three lists, so a reader never sees two of them from different
moments.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from portal_query.chunks import chunks
from repair_events.status import STATUSES

UNITS: Final = "units"
MONTHS: Final = "months"
STATUS_LIST: Final = "statuses"
#: The three lists, by their names in a document.
VIEWS: Final = (UNITS, MONTHS, STATUS_LIST)

#: `Document.frozen` of a frozen customer when the time is not known.
FROZEN_UNKNOWN: Final = "unknown"

#: Units rendered in one step: about two milliseconds for the longest names.
_UNITS_IN_A_STEP: Final = 1_000
# A quote inside a JSON string is escaped, so these bytes occur between two units only.
_BETWEEN_UNITS: Final = b'}, {"unit_number": '
_SCRIPT_ESCAPES: Final = ((b">", b"\\u003E"), (b"<", b"\\u003C"), (b"&", b"\\u0026"))


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
    *_, document = render_in_steps(counts)
    assert document is not None  # noqa: S101 - the last step's
    return document


def render_in_steps(counts: Counts) -> Iterator[Document | None]:
    """Render these counts: yield None after each part of the units, and last the `Document`."""
    parts = []
    ordered = sorted(counts.units, key=_most_first)
    for some in chunks(ordered, _UNITS_IN_A_STEP):
        parts.append(dumps([{"unit_number": unit, "repair_count": n} for unit, n in some])[1:-1])
        yield None
    yield Document(
        customer_id=counts.customer_id,
        refold=counts.refold,
        revision=counts.revision,
        tag=tag_of(counts.customer_id, counts.refold, counts.revision, counts.event_id),
        frozen=_frozen_text(counts),
        bodies={
            UNITS: b"[%b]" % b", ".join(parts),
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


def first_units(body: bytes, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the first `most` entries of a unit list, and the number of all its entries.

    Only these entries are parsed: a list of 10 000 long names has 6 MB.
    """
    entries = body.split(_BETWEEN_UNITS, most)
    if len(entries) <= most:
        units = json.loads(body)
        return units, len(units)
    rest = entries.pop()
    units = json.loads(_BETWEEN_UNITS.join(entries) + b"}]")
    return units, most + 1 + rest.count(_BETWEEN_UNITS)


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
    for character, escape in _SCRIPT_ESCAPES:
        body = body.replace(character, escape)  # 1 % of the time of str.translate
    return body.decode("ascii")


def _most_first(unit: tuple[str, int]) -> tuple[int, str]:
    return -unit[1], unit[0]


def _frozen_text(counts: Counts) -> str:
    if not counts.frozen:
        return ""
    return counts.frozen_as_of.isoformat() if counts.frozen_as_of else FROZEN_UNKNOWN
