"""The rules for repairs: a pure decision from the present state and the command.

`decide` uses no clock, caller or store. It returns the `Change` to append, `Unchanged`, or a
`Refusal`. The API maps the code of a refusal to an HTTP status.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from repair_events import status
from repair_events.event import (
    CORRECTED,
    RECORDED,
    REMOVED,
    REQUESTED,
    RESTORED,
    STATUS_CHANGED,
)
from repair_events.repair import Repair

#: The reason in the events that an import causes.
IMPORT_REASON: Final = "import"
MOVED_AWAY: Final = "moved to another customer"

Given = Mapping[str, str | int | None]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A command to record a new repair, complete, with its assigned id."""

    repair: Repair


class ChangeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A command to set another status. A customer may only decide a PENDING repair."""

    status: str
    reason: str | None = None
    by_customer: bool = False


class Correct(msgspec.Struct, frozen=True, kw_only=True):
    """A command to replace the given fields of a repair. Other fields keep their values."""

    given: Given
    reason: str | None = None


class Remove(msgspec.Struct, frozen=True, kw_only=True):
    """A command to exclude a repair from all counts."""

    reason: str


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """A command to undo a removal."""

    reason: str | None = None


class Restate(msgspec.Struct, frozen=True, kw_only=True):
    """An upsert by a line of an import: record the repair, or apply the `given` fields."""

    repair: Repair
    given: Given


Command = Record | ChangeStatus | Correct | Remove | Restore | Restate


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted change. After a move, `left` is the removed repair of the old customer."""

    fact: str
    repair: Repair
    reason: str | None = None
    left: Repair | None = None


class Unchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command that already holds. No event is appended."""

    repair: Repair


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected command: a stable code and a sentence.

    `allowed` are the statuses that would be accepted.
    """

    code: str
    detail: str
    allowed: tuple[str, ...] | None = None
    repair_id: str | None = None


Decision = Change | Unchanged | Refusal


def decide(repair: Repair | None, command: Command) -> Decision:
    """Return the decision on `command`. `repair` is None if the id or reference is unused."""
    if isinstance(command, Record):
        return _record(repair, command)
    if isinstance(command, Restate):
        return _restate(repair, command)
    if repair is None:
        return Refusal(code="repair-unknown", detail="There is no repair with this id.")
    return _change(repair, command)


def _change(repair: Repair, command: ChangeStatus | Correct | Remove | Restore) -> Decision:
    if isinstance(command, Remove):
        return _remove(repair, command)
    if isinstance(command, Restore):
        return _restore(repair, command)
    if repair.removed:
        return _is_removed(repair)
    if isinstance(command, ChangeStatus):
        return _change_status(repair, command)
    return _correct(repair, command.given, command.reason)


def _record(existing: Repair | None, command: Record) -> Decision:
    if existing is None:
        new = command.repair
        asked_for = new.requested_by == "customer" and new.status == status.REQUESTED
        return Change(fact=REQUESTED if asked_for else RECORDED, repair=new)
    if existing.removed:
        return _is_removed(existing)
    return Refusal(
        code="already-recorded",
        detail="A repair with this source and source_ref is there already; correct it by its id.",
        repair_id=existing.repair_id,
    )


def _restate(existing: Repair | None, command: Restate) -> Decision:
    if existing is None:
        return Change(fact=RECORDED, repair=command.repair)
    if existing.removed:
        return _is_removed(existing)
    return _correct(existing, command.given, IMPORT_REASON)


def _change_status(repair: Repair, command: ChangeStatus) -> Decision:
    if command.status == repair.status:
        return Unchanged(repair=repair)
    allowed = _allowed(repair.status, by_customer=command.by_customer)
    if command.status not in allowed:
        return Refusal(
            code="illegal-move",
            detail=f"A repair that is {repair.status} cannot become {command.status}"
            + (" by a customer's decision." if command.by_customer else "."),
            allowed=allowed,
            repair_id=repair.repair_id,
        )
    after = msgspec.structs.replace(repair, status=command.status)
    return Change(fact=STATUS_CHANGED, repair=after, reason=command.reason)


def undecidable(repair: Repair, detail: str) -> Refusal:
    """Return the refusal of a customer's decision on a repair that is not PENDING."""
    return Refusal(code="illegal-move", detail=detail, allowed=(), repair_id=repair.repair_id)


def _allowed(current: str, *, by_customer: bool) -> tuple[str, ...]:
    moves = status.MOVES.get(current, frozenset())
    if by_customer:
        moves = status.CUSTOMER_DECISIONS if current == status.PENDING else frozenset()
    return tuple(word for word in status.STATUSES if word in moves)


def _correct(repair: Repair, given: Given, reason: str | None) -> Decision:
    if given.get("customer_id", repair.customer_id) != repair.customer_id:
        return _move(repair, given, reason)
    after = msgspec.structs.replace(repair, **given)
    if after == repair:
        return Unchanged(repair=repair)
    return Change(fact=CORRECTED, repair=after, reason=reason)


def _move(repair: Repair, given: Given, reason: str | None) -> Decision:
    """Return a move: a removal from the old customer's stream, and a record in the new one.

    The customer notes are cleared and `requested_by` becomes internal, unless `given` sets them.
    """
    arrived = {"customer_notes": "", "requested_by": "internal", **given}
    return Change(
        fact=RECORDED,
        repair=msgspec.structs.replace(repair, **arrived),
        reason=reason,
        left=msgspec.structs.replace(repair, removed=True),
    )


def _remove(repair: Repair, command: Remove) -> Decision:
    if repair.removed:
        return Unchanged(repair=repair)
    after = msgspec.structs.replace(repair, removed=True)
    return Change(fact=REMOVED, repair=after, reason=command.reason)


def _restore(repair: Repair, command: Restore) -> Decision:
    if not repair.removed:
        return Unchanged(repair=repair)
    after = msgspec.structs.replace(repair, removed=False)
    return Change(fact=RESTORED, repair=after, reason=command.reason)


def _is_removed(repair: Repair) -> Refusal:
    return Refusal(
        code="removed",
        detail="This repair has been removed; only a restore brings it back.",
        repair_id=repair.repair_id,
    )
