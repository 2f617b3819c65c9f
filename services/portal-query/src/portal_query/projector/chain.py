"""The sequence check: which of a customer's events may be applied to its stored state. Pure.

It is the only check for duplicates, gaps and forks on the topic. It compares revisions, ids and
the times of a stream, which never decrease. It uses no offset and no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from portal_query.projector.arrived import Arrived
from portal_query.read_model.folding import Held
from repair_events.event import MAJOR
from repair_events.moment import moment_of


class Trouble(StrEnum):
    """A reason to compare a customer with the writer's stream."""

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check: `skip` events are old, the rest may be applied without `trouble`."""

    skip: int
    trouble: Trouble | None = None


def judge(held: Held, arrived: Sequence[Arrived], fold_version: str) -> Verdict:  # noqa: PLR0911 - a list of cases
    """Return which of these events, ascending by revision, may be applied to `held`.

    A parked customer receives no events: all count as old. A frozen customer receives no new
    events: a redelivered record with another body could replace a quarantined one.
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
    """Return whether an event at a held revision was accepted after all held events.

    Such an event belongs to another stream: the writer was restored, and its stream is still
    shorter. True for a time that cannot be read.
    """
    if held.accepted_at is None:
        return False
    try:
        return moment_of(one.time) > held.accepted_at
    except ValueError:  # no time, or one without a UTC offset: only the stream can decide
        return True
