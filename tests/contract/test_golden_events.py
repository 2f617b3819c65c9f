"""Golden events since version 1: both sides must accept them for ever.

The files are frozen (SHA256SUMS). A change that needs another file is a new major version.
A new optional field gets a new file beside these.
"""

import hashlib
import json
from pathlib import Path

import pytest

from repair_events.event import FACTS, Event, decode, encode, event_type, fact_of

GOLDEN = Path(__file__).parent / "golden"
#: Name -> fact, customer, revision, status (None for a profile).
EXPECTED = {
    "profile-changed": ("profile-changed", 1042, 1, None),
    "recorded": ("recorded", 1042, 2, "PENDING"),
    "status-changed": ("status-changed", 1042, 3, "APPROVED"),
    "corrected": ("corrected", 1042, 4, "APPROVED"),
    "removed": ("removed", 1042, 5, "APPROVED"),
    "restored": ("restored", 1042, 6, "APPROVED"),
    "requested": ("requested", 1042, 7, "REQUESTED"),
    "with-traceparent": ("status-changed", 1042, 8, "COMPLETED"),
    "largest-numbers": ("recorded", 2**63 - 1, 2**63 - 1, "PENDING"),
    "from-version-1.9": ("status-changed", 1042, 3, "AWAITING_GLASS"),
    "unknown-fact": ("photographed", 1042, 2, "PENDING"),
}
#: The events that our own encoder writes, to the byte.
OURS = sorted(set(EXPECTED) - {"from-version-1.9", "unknown-fact"})


def payload(name: str) -> bytes:
    """Return the bytes as they are on the topic (the file has an additional line end)."""
    return (GOLDEN / f"{name}.json").read_bytes().removesuffix(b"\n")


def golden(name: str) -> Event:
    return decode(payload(name))


def test_nobody_has_touched_the_frozen_files() -> None:
    lines = (GOLDEN / "SHA256SUMS").read_text().splitlines()
    frozen = {line[66:]: line[:64] for line in lines}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in GOLDEN.glob("*.json")
    }
    assert found == frozen
    assert set(EXPECTED) == {name.removesuffix(".json") for name in frozen}


def test_every_fact_has_a_frozen_event() -> None:
    assert {fact for fact, *_ in EXPECTED.values()} >= set(FACTS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_frozen_event_is_decoded(name: str) -> None:
    event = golden(name)
    status = event.data.repair.status if event.data.repair else None
    fact, major = fact_of(event.type)
    assert (fact, event.data.customer_id, event.data.revision, status) == EXPECTED[name]
    assert major == 1


@pytest.mark.parametrize("name", OURS)
def test_a_frozen_event_is_what_we_write_to_the_byte(name: str) -> None:
    assert encode(golden(name)) == payload(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_all_that_we_know_of_a_frozen_event_survives_decode_and_encode(name: str) -> None:
    written = json.loads(encode(golden(name)))
    original = json.loads(payload(name))
    state = "repair" if original["data"]["repair"] else "customer"
    for ours, theirs in (
        (written, original),
        (written["data"], original["data"]),
        (written["data"][state], original["data"][state]),
    ):
        assert {key: theirs[key] for key in ours if key not in {"data", state}} == {
            key: value for key, value in ours.items() if key not in {"data", state}
        }


def test_a_later_minor_version_says_the_same_to_us_as_without_its_additions() -> None:
    later, ours = golden("from-version-1.9"), golden("status-changed")
    assert later.data.repair is not None
    assert ours.data.repair is not None
    assert (later.id, later.subject, later.data.previous) == (
        ours.id,
        ours.subject,
        ours.data.previous,
    )
    assert later.data.repair.unit_number == ours.data.repair.unit_number
    assert b"warranty" in payload("from-version-1.9")
    assert b"warranty" not in encode(later)


def test_each_event_follows_the_one_before_it() -> None:
    chain = [golden(name) for name, expected in EXPECTED.items() if expected[1] == 1042]
    by_revision = {event.data.revision: event for event in chain}
    for revision in range(2, 9):
        assert by_revision[revision].data.previous == by_revision[revision - 1].id


def test_the_types_on_the_topic_never_change() -> None:
    assert {fact: event_type(fact) for fact in FACTS} == {
        "recorded": "com.rswindrepair.repair.recorded.v1",
        "requested": "com.rswindrepair.repair.requested.v1",
        "status-changed": "com.rswindrepair.repair.status-changed.v1",
        "corrected": "com.rswindrepair.repair.corrected.v1",
        "removed": "com.rswindrepair.repair.removed.v1",
        "restored": "com.rswindrepair.repair.restored.v1",
        "profile-changed": "com.rswindrepair.customer.profile-changed.v1",
    }
