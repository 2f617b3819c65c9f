"""Expected results: an independent fold of a customer's numbered stream, and the portal's bytes for
it.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.oracle import rules

RepairLike = Mapping[str, Any]
FIELDS = (
    "customer_id", "unit_number", "repair_date", "status", "description", "damage_type", "cost", "technician",
    "customer_notes", "technician_notes", "requested_by", "batch_id", "source", "source_ref", "removed",
)  # fmt: skip


class ListBrokenError(AssertionError):
    """A customer's stream is not 1, 2, 3, ... with each event naming its predecessor."""


@dataclass
class Counts:
    """The three counts of one customer, without empty buckets."""

    units: dict[str, int] = field(default_factory=dict)
    months: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)

    def bodies(self) -> dict[str, bytes]:
        """Return the documented bodies to the byte: `units`, `months` and the dashboard's
        `statuses`.
        """
        units = sorted(self.units.items(), key=lambda item: (-item[1], item[0]))
        rows = {
            "units": [{"unit_number": unit, "repair_count": n} for unit, n in units],
            "months": [{"date": month, "count": n} for month, n in sorted(self.months.items())],
            "statuses": [{"status": s, "count": self.statuses.get(s, 0)} for s in rules.STATUSES],
        }
        return {name: json.dumps(row).encode() for name, row in rows.items()}

    def total(self) -> int:
        """Return the number that all three counts must sum to."""
        sums = {sum(part.values()) for part in (self.units, self.months, self.statuses)}
        assert len(sums) == 1, f"the three counts sum to different numbers: {sums}"
        return sums.pop()


@dataclass
class Folded:
    """A customer after its first `revision` events."""

    customer_id: int
    revision: int = 0
    event_id: str | None = None
    repairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, tuple[int, str]] = field(default_factory=dict)
    profile: dict[str, Any] | None = None
    history: list[tuple[int, str]] = field(default_factory=list)

    def counts(self, time_zone: str) -> Counts:
        """Count every repair that is there and not removed, whatever its status."""
        return count(self.repairs.values(), time_zone)


def count(repairs: Iterable[RepairLike], time_zone: str) -> Counts:
    """Count repairs by unit, by local month, and by status; removed ones count nowhere."""
    present = [repair for repair in repairs if not repair["removed"]]
    return Counts(
        units=dict(Counter(rules.unit_of(repair["unit_number"]) for repair in present)),
        months=dict(
            Counter(rules.month_of(repair["repair_date"], time_zone) for repair in present)
        ),
        statuses=dict(Counter(repair["status"] for repair in present)),
    )


def fold(customer_id: int, events: Iterable[Mapping[str, Any]]) -> Folded:
    """Fold a customer's events, given in the stream's order.

    Raises ListBrokenError at the first misplaced event.
    """
    folded = Folded(customer_id)
    for event in events:
        data = event["data"]
        expected = (customer_id, folded.revision + 1, folded.event_id)
        found = (data["customer_id"], data["revision"], data.get("previous"))
        if found != expected:
            raise ListBrokenError(f"customer, revision, previous are {found}, expected {expected}")
        folded.revision, folded.event_id = data["revision"], event["id"]
        if data.get("customer") is not None:
            folded.profile = data["customer"]
        if data.get("repair") is not None:
            repair = canonical(data["repair"])
            folded.repairs[data["repair"]["repair_id"]] = repair
            folded.changed[data["repair"]["repair_id"]] = (data["revision"], event["id"])
            folded.history.append((data["revision"], event["id"]))
    return folded


def canonical(repair: RepairLike) -> dict[str, Any]:
    """Return the content of a repair in one spelling, from whichever hop it was read."""
    plain = {name: repair.get(name) for name in FIELDS}
    plain["repair_date"] = rules.moment(repair["repair_date"])
    plain["cost"] = rules.money(repair["cost"])
    plain["batch_id"] = str(repair["batch_id"]) if repair.get("batch_id") else None
    plain["removed"] = bool(repair.get("removed"))
    return plain


def check_moves(events: Iterable[Mapping[str, Any]]) -> None:
    """Check that every status command in a stream made an allowed move."""
    before: dict[str, str] = {}
    for event in events:
        repair = event["data"].get("repair")
        if repair is None:
            continue
        old, new = before.get(repair["repair_id"]), repair["status"]
        if event["type"].endswith(".status-changed.v1"):
            assert old is not None
            assert old != new, f"{event['id']} changes nothing"
            assert rules.may_move(old, new), f"{event['id']} moves {old} to {new}"
        before[repair["repair_id"]] = new


def check_acks(
    events: Mapping[tuple[int, int], Mapping[str, Any]],
    changes: Mapping[tuple[int, int], Mapping[str, Any]],
) -> None:
    """Check acknowledged changes against events: none is missing, none is unrequested.

    Both are by customer and revision; a change is the repair in the writer's response.
    """
    for place, body in changes.items():
        data = events[place]["data"]
        assert data["repair"]["repair_id"] == body["repair_id"], f"{place} is another repair"
        listed, answered = canonical(data["repair"]), canonical(body)
        assert listed == answered, f"{place}: answered {answered}, listed {listed}"
    # A move is two events and one response: the removal from the old stream belongs to the record
    # in the new one.
    arrived = {(body["repair_id"], place[0]) for place, body in changes.items()}
    unasked = [
        place
        for place, event in events.items()
        if place not in changes and event["data"].get("repair") and not _left(event, arrived)
    ]
    assert not unasked, f"events that no answer speaks of: {unasked[:5]}"


def _left(event: Mapping[str, Any], arrived: Collection[tuple[str, int]]) -> bool:
    """Return whether an event removes a repair that a response places with another customer."""
    repair = event["data"]["repair"]
    elsewhere = any(key == repair["repair_id"] and n != repair["customer_id"] for key, n in arrived)
    return repair["removed"] and elsewhere
