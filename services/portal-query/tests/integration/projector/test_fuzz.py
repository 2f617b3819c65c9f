"""Twenty thousand forged records on the real topic: no number changes, the projector keeps running.

Excluded by design: an attacker with the id of an unsent event could send it first with another
body.
That needs our broker's key and read access to our outbox.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from portal_query.projector import metrics
from portal_query.projector.testing import CustomerList
from portal_query.read_model import letters
from repair_events import topic
from repair_events.ids import new_id
from service_runtime.testing import eventually

#: Each generated record goes to each of so many customers, because generation is the slowest part.
THOUGHTS_IN_ALL, EACH = 5_000, 4
AT_ONCE = 50
#: The streams grow between the records: so often, each by some true events.
ROUNDS = 10
CUSTOMERS = range(1, 61)
#: The streams of these hold an event of a later version: they end up parked.
PARKED = (13, 31)
#: A stream that the writer does not have.
STRANGER = 77_777
RESULTS = ("applied", "duplicate", "set-aside", "bad", "parked")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)
#: Possible values of one field of an otherwise correct event.
SPOILT = {
    "status": st.sampled_from(["LOST", "", "pending"]),
    "unit_number": st.sampled_from(["\x00", "U" * 9_000, "\u202e", ""]),
    "cost": st.sampled_from(["1e40", "NaN", "", "12", "-0.001"]),
    "repair_date": st.sampled_from(["never", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z"]),
    "repair_id": st.sampled_from(["", "no uuid", "00000000-0000-0000-0000-000000000000"]),
}


#: Kinds of generated records, with their random parts.
THOUGHTS = {
    "true": st.none(),
    "bytes": st.binary(max_size=40),
    "no value": st.none(),
    "other system": JSON.map(lambda value: json.dumps(value).encode()),
    "again": st.integers(0, 100),
    "cut": st.integers(0, 900),
    "huge": st.sampled_from([70_000, 300_000]),
    "no key": st.none() | st.binary(max_size=9),
    "another's key": st.sampled_from(CUSTOMERS),
    "headers": st.binary(max_size=9),
    "another partition": st.integers(0, topic.PARTITIONS - 1),
    "another body": st.none(),
    "future": st.integers(2, 2**64),
    "stranger": st.none(),
    "later version": st.none(),
    "spoilt": st.one_of(
        [st.tuples(st.just(name), values) for name, values in sorted(SPOILT.items())]
    ),
    "fits": st.none(),
}
#: Huge ones are rare, because all of them are sent and kept for a while.
WEIGHTS = {"true": 16, "huge": 1}
THOUGHT = st.sampled_from([kind for kind in THOUGHTS for _ in range(WEIGHTS.get(kind, 8))]).flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(CUSTOMERS), THOUGHTS[kind])
)


@dataclass(frozen=True)
class Sent:
    """One record: its destination and its kind."""

    kind: str
    key: bytes | None
    value: bytes | None
    partition: int
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Topic:
    """Creates records from generated input; the true events of a customer keep their order."""

    def __init__(self, lists: dict[int, CustomerList]) -> None:
        self.records: list[Sent] = []
        self._lists = lists
        self._lines: dict[int, list[bytes]] = {}
        self._next = dict.fromkeys(lists, 0)

    def round(self, thoughts: list[tuple[str, int, Any]]) -> list[Sent]:
        """Return the records of this input, and then the unsent rest of the streams."""
        self.records = []
        self._lines = {n: one.lines for n, one in self._lists.items()}
        for kind, first, chance in thoughts:
            for n in range(EACH):
                self.add(kind, (first + n * len(CUSTOMERS) // EACH) % len(CUSTOMERS) + 1, chance)
        for customer, lines in self._lines.items():
            for line in lines[self._next[customer] :]:
                self._send("true", customer, line)
            self._next[customer] = len(lines)
        return self.records

    def true(self, customer: int) -> None:
        """Send the next event of a stream; after the last one, an old one again."""
        lines, at = self._lines[customer], self._next[customer]
        if at < len(lines):
            self._next[customer] += 1
            self._send("true", customer, lines[at])
        else:
            self._send("again", customer, lines[0])

    def add(self, kind: str, customer: int, chance: Any) -> None:
        """Send a generated record, or the next true event where nothing has been sent yet."""
        sent = self._lines[customer][: self._next[customer]]
        if kind in {"bytes", "other system", "no value"}:
            self._send(kind, customer, chance)
        elif kind == "true" or not sent:
            self.true(customer)
        elif kind == "again":
            self._send(kind, customer, sent[chance % len(sent)])
        elif kind == "cut":
            self._send(kind, customer, sent[-1][: chance % len(sent[-1])])
        elif kind == "huge":
            padded = json.loads(sent[-1]) | {"padding": "x" * chance}
            self._send(kind, customer, json.dumps(padded)[:-1].encode())
        elif kind == "no key":
            self._send(kind, customer, sent[-1], key=chance)
        elif kind == "another's key":
            self._send(kind, chance, sent[-1])
        elif kind == "headers":
            self._send(kind, customer, sent[-1], headers=[("traceparent", chance), ("", b"")])
        elif kind == "another partition":
            self._send(kind, customer, sent[-1], partition=chance)
        else:
            forged = self._forged(kind, json.loads(sent[-1]), chance)
            to = forged["data"]["customer_id"]
            self._send(kind, customer, json.dumps(forged).encode(), key=topic.key(to))

    def _forged(self, kind: str, last: dict[str, Any], chance: Any) -> dict[str, Any]:
        """Return an event that was never accepted, made of the last one that was sent."""
        data, repair = last["data"], last["data"]["repair"]
        if kind == "another body":
            changed = repair and repair | {"unit_number": "FORGED"}
            return last | {"data": data | {"repair": changed}}
        data |= {"revision": data["revision"] + 1, "previous": last["id"]}
        if kind == "future":
            data |= {"revision": chance, "previous": new_id()}
        if kind == "stranger":
            data |= {"customer_id": STRANGER}
            for state in (repair, data["customer"]):
                if state is not None:
                    state["customer_id"] = STRANGER
        if kind == "spoilt" and repair:
            repair[chance[0]] = chance[1]
        major = "2" if kind == "later version" else last["type"][-1]
        return last | {"id": new_id(), "type": last["type"][:-1] + major}

    def _send(self, kind: str, customer: int, value: bytes | None, **other: Any) -> None:
        fields: dict[str, Any] = {
            "key": topic.key(customer),
            "partition": topic.partition(customer),
        } | other
        self.records.append(Sent(kind=kind, value=value, **fields))


def thought_of(number: int) -> list[tuple[str, int, Any]]:
    """Return hypothesis's input for this seed."""
    thoughts: list[tuple[str, int, Any]] = []

    @seed(number)
    @settings(
        max_examples=2 * THOUGHTS_IN_ALL // AT_ONCE,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(THOUGHT, min_size=AT_ONCE, max_size=AT_ONCE))
    def some(more: list[tuple[str, int, Any]]) -> None:
        if len(thoughts) < THOUGHTS_IN_ALL:
            thoughts.extend(more)

    some()
    return thoughts


def live(customer: CustomerList) -> None:
    """Change a customer: record a repair, change it, perhaps remove it."""
    n = len(customer.events)
    repair = customer.record(f"A{n % 5}", f"2026-{n % 12 + 1:02d}-01T03:00:00Z").data.repair
    assert repair is not None
    customer.change(repair.repair_id, status="COMPLETED")
    if n % 2:
        customer.change(repair.repair_id, "removed", removed=True)


def end_with_later_version(customer: CustomerList) -> None:
    """Append an event that this version cannot fold, and exclude it from the expected counts."""
    repair = next(iter(customer.repairs.values()))
    customer.append("recorded", repair, type_="com.rswindrepair.repair.recorded.v2")


async def produce(world: Any, records: list[Sent]) -> None:
    name = world.settings.kafka_topic
    producer = AIOKafkaProducer(
        bootstrap_servers=world.settings.kafka_bootstrap_servers, linger_ms=20
    )
    await producer.start()
    try:
        for one in records:
            await producer.send(
                name, one.value, key=one.key, partition=one.partition, headers=one.headers
            )
        await producer.flush()
    finally:
        await producer.stop()


def became() -> Counter[str]:
    """Return the number of records by their outcome so far."""
    return Counter({name: int(metrics.EVENTS.labels(name)._value.get()) for name in RESULTS})


async def test_no_number_changes_and_nothing_stops(world: Any) -> None:
    lists = {n: world.customer(n) for n in CUSTOMERS}
    whole = [one for n, one in lists.items() if n not in PARKED]
    number = random.SystemRandom().randrange(2**32)
    says = f"all records of seed {number} are accounted for"
    thoughts, topic_, sent = thought_of(number), Topic(lists), 0
    before, shared = became(), metrics.REBALANCES._value.get()
    async with world.projector():
        for start in range(0, len(thoughts), len(thoughts) // ROUNDS):
            for one in whole if start else lists.values():
                live(one)
            if start == 0:
                for n in PARKED:
                    end_with_later_version(lists[n])
            records = topic_.round(thoughts[start : start + len(thoughts) // ROUNDS])
            await produce(world, records)
            sent += len(records)

            async def accounted(sent: int = sent) -> bool:
                return (became() - before).total() >= sent

            await eventually(accounted, says)
        await world.send(*[one.record("LAST") for one in whole])
        await world.arrives(*whole)
        rows = [await world.row(n) for n in PARKED]
    found = became() - before
    assert sent >= THOUGHTS_IN_ALL * EACH
    # A busy machine may cause a rebalance, after which some records come twice.
    shared_anew = metrics.REBALANCES._value.get() - shared > 1
    assert found.total() >= sent + len(whole), found
    assert shared_anew or found.total() == sent + len(whole), found
    assert all(found[name] for name in RESULTS), found
    for row in rows:
        assert row["parked_at"] is not None
        assert row["revision"] == len(lists[row["customer_id"]].events) - 1
    kept = await world.letters()
    assert 0 < len(kept) <= letters.KEPT
    assert max(len(one["value"] or b"") for one in kept) == letters.VALUE_BYTES
    assert await world.database.fetchval("SELECT count(*) FROM portal.customer") == len(lists)
