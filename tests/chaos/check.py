"""Invariants of every trial: each function returns its violations, as sentences with a witness."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncpg
from tests.oracle import fold, hops, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.load import Acks
    from tests.chaos.reads import Read

Events = list[dict[str, Any]]
ANSWERS = frozenset({200, 503})
# Statuses that a killed or stopped process leaves to a caller; the harness decides where they are
# allowed.
BROKEN = frozenset({0, -1})
MOST_SHOWN = 5

_UNEQUAL = """
SELECT customer_id, sums FROM (
    SELECT c.customer_id, array[
        coalesce((SELECT sum(n) FROM portal.repair_count k WHERE k.customer_id = c.customer_id AND dimension = 0), 0),
        coalesce((SELECT sum(n) FROM portal.repair_count k WHERE k.customer_id = c.customer_id AND dimension = 1), 0),
        coalesce((SELECT sum(n) FROM portal.repair_count k WHERE k.customer_id = c.customer_id AND dimension = 2), 0),
        (SELECT count(*) FROM portal.repair r WHERE r.customer_id = c.customer_id AND NOT removed)] AS sums
    FROM portal.customer c WHERE c.customer_id = ANY($1)) s
WHERE (SELECT count(DISTINCT n) FROM unnest(sums) n) > 1
UNION ALL
SELECT customer_id, array[n] FROM portal.repair_count WHERE n < 0 AND customer_id = ANY($1)
"""


async def sums(portal_database: str, customers: Sequence[int]) -> list[str]:
    """Check I3: the three counts of a customer sum to its repairs, and none is negative."""
    connection = await asyncpg.connect(portal_database)
    try:
        rows = await connection.fetch(_UNEQUAL, list(customers))
    finally:
        await connection.close()
    return [f"I3: customer {row[0]} counts {[int(n) for n in row[1]]}" for row in rows]


async def lists(writer_database: str, customers: Sequence[int]) -> dict[int, Events]:
    """Read the writer's streams; each event is a JSON object."""
    stored = await hops.event_list(writer_database, customers)
    return {
        customer: [json.loads(one) for one in payloads] for customer, payloads in stored.items()
    }


def commands(events: Mapping[int, Events], acks: Acks) -> list[str]:
    """Check I1, I2, I11: the stream holds each acknowledged change once, in time order, and no
    other.
    """
    found = [f"I12: the writer answered {status}" for status in acks.statuses if status == 500]
    by_place = {
        (customer, event["data"]["revision"]): event
        for customer, listed in events.items()
        for event in listed
    }
    for customer, listed in events.items():
        try:
            fold.fold(customer, listed)
        except AssertionError as broken:
            found.append(f"I11: customer {customer}: {broken}")
    try:
        fold.check_acks(by_place, acks.changes())
    except (AssertionError, KeyError) as broken:
        found.append(f"I1/I2: {broken!r}"[:600])
    places = Counter(
        (ack.body["customer_id"], ack.revision) for ack in acks.done if "repair_id" in ack.body
    )
    found += [f"I2: two commands were told {place}" for place, n in places.items() if n > 1]
    return found + _in_order(acks)


def _in_order(acks: Acks) -> list[str]:
    """Check the order: a change acknowledged before another was sent has the lower revision."""
    of_customer: dict[int, list[Any]] = {}
    for ack in acks.done:
        if "repair_id" in ack.body:
            of_customer.setdefault(ack.body["customer_id"], []).append(ack)
    found = []
    for customer, done in of_customer.items():
        highest = 0
        ended = sorted(done, key=lambda ack: ack.answered)
        at = 0
        for ack in sorted(done, key=lambda ack: ack.invoked):
            while at < len(ended) and ended[at].answered < ack.invoked:
                highest = max(highest, ended[at].revision)
                at += 1
            if ack.revision <= highest:
                found.append(f"I2: customer {customer}: {ack.revision} was told after {highest}")
    return found


class Answers:
    """Counts of each customer after its first n events, cached by n."""

    def __init__(self, events: Mapping[int, Events], time_zone: str) -> None:
        self._events = events
        self._time_zone = time_zone
        self._known: dict[int, list[dict[str, bytes]]] = {}

    def at(self, customer: int, revision: int) -> dict[str, bytes]:
        """Return the bodies after so many events."""
        if customer not in self._known:
            self._known[customer] = list(self._every(customer))
        return self._known[customer][revision]

    def _every(self, customer: int) -> Iterable[dict[str, bytes]]:
        repairs: dict[str, dict[str, Any]] = {}
        yield fold.count((), self._time_zone).bodies()
        for event in self._events[customer]:
            repair = event["data"].get("repair")
            if repair is not None:
                repairs[repair["repair_id"]] = repair
            yield fold.count(repairs.values(), self._time_zone).bodies()


def reads(
    found: Sequence[Read],
    events: Mapping[int, Events],
    time_zone: str,
    *,
    acked: Mapping[tuple[int, int], float],
    may_break: bool,
) -> list[str]:
    """Check I5, I6, I7, I8, I12: each response is the fold of exactly its named events, and its lag
    is true.

    `acked` holds the time at which publishers received each change (customer and revision), by the
    clock of the reads.
    """
    answers = Answers(events, time_zone)
    seen: dict[int, tuple[int, int]] = {}
    broken: list[str] = []
    for read in found:
        if read.status != 200:
            broken += _refused(read, may_break=may_break)
            continue
        broken += _content(read, events[read.customer], answers)
        broken += _age(read, events[read.customer], acked)
        before = seen.get(read.session, (0, 0))
        if (read.refold, read.revision) < before:
            broken.append(f"I5: session {read.session} saw {before}, then {_named(read)}")
        seen[read.session] = (read.refold, read.revision)
    return broken


def _refused(read: Read, *, may_break: bool) -> list[str]:
    if read.status in BROKEN:
        word = "no answer in time" if read.status == -1 else "the connection broke"
        return [] if may_break else [f"I12: {word}: {_named(read)}"]
    if read.status not in ANSWERS:
        return [f"I12: {_named(read)}: {read.body[:200]!r}"]
    return [] if read.retry_after else [f"I12: no Retry-After: {_named(read)}"]


def _content(read: Read, listed: Events, answers: Answers) -> list[str]:
    if read.revision > len(listed):
        return [f"I7: {_named(read)}, but the list ends at {len(listed)}"]
    broken = []
    expected = answers.at(read.customer, read.revision)[read.view]
    if read.body != expected:
        broken.append(f"I7: {_named(read)} is {read.body[:300]!r}, not {expected[:300]!r}")
    same = read.asked_refold is None or read.refold == read.asked_refold
    if same and read.revision < read.asked:
        broken.append(f"I6: {_named(read)} was asked for {read.asked}")
    return broken


def _age(read: Read, listed: Events, acked: Mapping[tuple[int, int], float]) -> list[str]:
    """Check I8: a change missing from a response is no older than its lag, by the writer's clock
    and ours.
    """
    if read.revision >= len(listed):
        return []
    broken = []
    missed = rules.moment(listed[read.revision]["time"])
    if read.as_of is not None and read.as_of > missed:
        broken.append(f"I8: {_named(read)} as of {read.as_of}, without one of {missed}")
    told = acked.get((read.customer, read.revision + 1), read.began)
    if read.lag is not None and read.lag < read.began - told:
        behind = read.began - told
        broken.append(f"I8: {_named(read)} says {read.lag} s, it was {behind:.3f} s behind")
    return broken


def ages(found: Sequence[Read], acked: Mapping[tuple[int, int], float]) -> dict[str, int]:
    """Count the cases for the invariant of ages: it is empty when no response ever lacked a change."""
    good = [read for read in found if read.status == 200]
    never = float("inf")
    return {
        "with a lag": sum(read.lag is not None for read in good),
        "without": sum(read.lag is None for read in good),
        "behind": sum(
            acked.get((read.customer, read.revision + 1), never) < read.began for read in good
        ),
    }


def _named(read: Read) -> str:
    return (
        f"{read.view} of {read.customer}, status {read.status}, revision {read.refold}.{read.revision}, "
        f"at {read.began:.3f} after {read.took:.2f} s"
    )


def first(broken: Sequence[str]) -> str:
    """Return the first few, and their number."""
    more = f" (and {len(broken) - MOST_SHOWN} more)" if len(broken) > MOST_SHOWN else ""
    return "; ".join(broken[:MOST_SHOWN]) + more
