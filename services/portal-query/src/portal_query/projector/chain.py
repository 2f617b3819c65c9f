"""What follows what: which of a customer's events may be applied to where it stands. Pure.

The only judge of duplicates, gaps and forks on the topic. It compares numbers, ids and the times
that a list itself tells, which never run backwards in it; no offset, no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from portal_query.projector.arrived import Arrived
from portal_query.read_model.folding import Held
from repair_events.event import MAJOR
from repair_events.moment import moment_of


class Trouble(StrEnum):
    """Why a customer has to be compared with the writer's list."""

    GAP = "gap"
    FORK = "fork"
    UNKNOWN_MAJOR = "unknown-major"
    UNCOUNTABLE = "uncountable"
    OTHER_RULE = "other-rule"
    BELOW_ZERO = "below-zero"
    BAD_RECORD = "bad-record"
    BAD_VALUE = "bad-value"
    HEADS = "heads"
    INVARIANT = "invariant"
    STANDING_STILL = "standing-still"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first `skip` events are old, the rest may be applied, unless there is trouble."""

    skip: int
    trouble: Trouble | None = None


def judge(held: Held, arrived: Sequence[Arrived], fold_version: str) -> Verdict:  # noqa: PLR0911 - a list of cases
    """Say what of these events, ascending by revision, may be applied to what is held.

    A customer that is parked gets nothing: its figures stand still, and everything is old. One
    that stands still gets nothing new: of what was set aside, a record that comes again with
    another body would take the place.
    """
    if held.parked:
        return Verdict(len(arrived))
    if held.fold_version != fold_version:
        return Verdict(0, Trouble.OTHER_RULE)
    revision, last = held.revision, held.event_id
    skip = 0
    for one in arrived:
        if one.revision <= revision:
            if (one.revision == revision and one.id != last) or _is_later(one, held):
                return Verdict(skip, Trouble.FORK)
            skip += 1
            continue
        if held.still:
            return Verdict(skip, Trouble.STANDING_STILL)
        if one.major != MAJOR:
            return Verdict(skip, Trouble.UNKNOWN_MAJOR)
        if one.revision != revision + 1:
            return Verdict(skip, Trouble.GAP)
        if one.previous != last:
            return Verdict(skip, Trouble.FORK)
        revision, last = one.revision, one.id
    return Verdict(skip)


def _is_later(one: Arrived, held: Held) -> bool:
    """Say whether an event with a revision that is held came after all that is held.

    Then it is of another list: the writer was restored, and has not come as far again yet.
    """
    if held.accepted_at is None:
        return False
    try:
        return moment_of(one.time) > held.accepted_at
    except ValueError:  # no time, or one without an offset: only the list can tell
        return True
