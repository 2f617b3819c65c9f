"""Comparison of every hop with the fold of the writer's stream, in the order of the flow; it names
the first difference.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.oracle import hops
from tests.oracle.fold import Folded, fold

# Fields of a repair for its customer, which the read model copies.
COPIED = (
    "customer_id", "unit_number", "repair_date", "status", "description", "damage_type", "cost", "customer_notes",
    "requested_by", "batch_id", "removed",
)  # fmt: skip


class HopDiffersError(AssertionError):
    """A hop differs from the hop before it; the message names hop, customer and difference."""


@dataclass(frozen=True)
class Places:
    """Addresses of the hops, as in `./dev status --json`."""

    writer_database: str
    portal_database: str
    redis: str
    kafka: str
    topic: str
    time_zone: str


async def agree(places: Places, ids: Collection[int], *, topic: bool = True) -> dict[int, Folded]:
    """Compare stream, writer tables, topic, projector tables and Redis of these customers.

    `topic` excludes a topic that has lost its records, which it may.
    Returns the folds, for a further comparison with HTTP responses. Raises HopDiffersError.
    """
    payloads = await hops.event_list(places.writer_database, ids)
    folds = {
        customer_id: fold(customer_id, map(json.loads, payloads[customer_id]))
        for customer_id in ids
    }
    _writer(folds, await hops.writer_tables(places.writer_database, ids))
    if topic:
        _topic(payloads, await hops.topic_lists(places.kafka, places.topic, ids))
    _portal(folds, await hops.portal_tables(places.portal_database, ids), places.time_zone)
    _documents(folds, await hops.documents(places.redis, ids), places.time_zone)
    return folds


def _writer(folds: Mapping[int, Folded], tables: Mapping[int, hops.Tables]) -> None:
    for customer_id, folded in folds.items():
        if folded.revision == 0 and customer_id not in tables:
            continue
        table = tables[customer_id]
        _same(
            "writer.customer",
            customer_id,
            (folded.revision, folded.event_id),
            (table.revision, table.event_id),
        )
        there = {key: repair for key, repair in folded.repairs.items() if key in table.repairs}
        gone = [repair for key, repair in folded.repairs.items() if key not in table.repairs]
        # A moved repair stays in this history as removed; its row now belongs to the other
        # customer.
        _same(
            "writer.repair", customer_id, [], [repair for repair in gone if not repair["removed"]]
        )
        _same_each("writer.repair", customer_id, there, table.repairs)


def _topic(
    payloads: Mapping[int, list[bytes]], lists: Mapping[int, Mapping[int, list[bytes]]]
) -> None:
    for customer_id, stored in payloads.items():
        for revision, payload in enumerate(stored, start=1):
            if payload not in lists[customer_id].get(revision, []):
                raise HopDiffersError(
                    f"topic, customer {customer_id}: revision {revision} is not on it as stored"
                )


def _portal(folds: Mapping[int, Folded], tables: Mapping[int, hops.Tables], time_zone: str) -> None:
    for customer_id, folded in folds.items():
        if folded.revision == 0 and customer_id not in tables:
            continue
        if customer_id not in tables:
            raise HopDiffersError(f"portal.customer, customer {customer_id}: is not there")
        table = tables[customer_id]
        _same("portal.customer", customer_id, None, table.parked)
        _same(
            "portal.customer",
            customer_id,
            (folded.revision, folded.event_id),
            (table.revision, table.event_id),
        )
        _same_each(
            "portal.repair",
            customer_id,
            *(_copied(part) for part in (folded.repairs, table.repairs)),
        )
        _same("portal.repair", customer_id, folded.changed, table.changed)
        expected = folded.counts(time_zone)
        expected.total()
        for dimension in hops.DIMENSIONS:
            _same_each(
                f"portal.repair_count {dimension}",
                customer_id,
                getattr(expected, dimension),
                getattr(table.counts, dimension),
            )
        _same("portal.repair_history", customer_id, folded.history, table.history)


def _copied(repairs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: {name: repair[name] for name in COPIED} for key, repair in repairs.items()}


def _documents(
    folds: Mapping[int, Folded], found: Mapping[int, Mapping[bytes, bytes]], time_zone: str
) -> None:
    """Check cached counts: they may be missing (they live for a minute), but must be current."""
    for customer_id, document in found.items():
        for view, body in folds[customer_id].counts(time_zone).bodies().items():
            if body not in document.values():
                raise HopDiffersError(
                    f"redis document, customer {customer_id}: {view} is not {body[:200]!r}"
                )


def _same(hop: str, customer_id: int, expected: object, found: object) -> None:
    if expected != found:
        raise HopDiffersError(
            f"{hop}, customer {customer_id}: expected {expected!r}, found {found!r}"
        )


def _same_each(
    hop: str, customer_id: int, expected: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    for key in expected.keys() | found.keys():
        if expected.get(key) != found.get(key):
            raise HopDiffersError(
                f"{hop}, customer {customer_id}, {key}: expected {expected.get(key)!r}, found {found.get(key)!r}"
            )
