"""Faults of the simulation: each function injects one and returns its description."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.laws.world.writer import CUSTOMERS, Known, foreign, of_newer_major

from repair_events import topic as language

if TYPE_CHECKING:
    from tests.laws.world.calls import Call
    from tests.laws.world.world import World


Fault: TypeAlias = "Callable[[World], str]"


def _pending(world: "World", *words: str) -> "Call | None":
    found = [
        one
        for one in world.calls.pending
        if not one.process.halted
        and one.error is not None
        and (not words or any(word in one.name for word in words))
    ]
    return found[world.schedule.pick(len(found))] if found else None


def _fail(world: "World", *words: str) -> str:
    call = _pending(world, *words)
    if call is None:
        return "nothing to fail"
    after = call.ready() and world.schedule.pick(2) == 1
    world.calls.fail(call, after=after)
    return f"FAILS {'after' if after else 'before'} effect: {call.name}"


def something_fails(world: "World") -> str:
    """Let one call fail, before or after it took effect."""
    return _fail(world)


def redis_refuses(world: "World") -> str:
    """Let Redis fail."""
    return _fail(world, "redis")


def postgres_breaks(world: "World") -> str:
    """Break a connection to the read model."""
    return _fail(world, "folding", "commit", "counts", "standing", "replacing")


def kafka_refuses(world: "World") -> str:
    """Let Kafka fail for the relay or for a projector."""
    return _fail(world, "kafka")


def outbox_breaks(world: "World") -> str:
    """Break a connection of a relay to its database."""
    return _fail(world, "outbox")


def somebody_dies(world: "World") -> str:
    """Kill a process, or start a dead one."""
    names = list(world.processes)
    name = names[world.schedule.pick(len(names))]
    process = world.processes[name]
    if not process.alive:
        world.start(name)
        return f"starts {name}"
    world.kill(process)
    return f"KILL {name}"


def somebody_sleeps(world: "World") -> str:
    """Halt a process beyond its group's session timeout, or resume it."""
    names = [name for name, one in world.processes.items() if one.alive]
    if not names:
        return "nobody is there to sleep"
    process = world.processes[names[world.schedule.pick(len(names))]]
    process.halted = not process.halted
    if process.halted:
        if world.schedule.pick(2):
            world.group.rebalance()
        return f"HALT {process.name}"
    world.group.come_back(process)
    return f"wakes {process.name}"


def group_moves(world: "World") -> str:
    """Reassign the partitions without a reason."""
    world.group.rebalance()
    return "REBALANCE"


def _some_record(world: "World") -> Known | None:
    sent = [one for one in world.writer.ever.values() if one.payload in world.topic.seen]
    return sent[world.schedule.pick(len(sent))] if sent else None


def record_again(world: "World") -> str:
    """Append an old record to the topic once more, after newer ones."""
    known = _some_record(world)
    if known is None:
        return "nothing to repeat"
    _append(world, known.customer_id, known.payload)
    return f"AGAIN {known.customer_id}.{known.revision}"


def record_lost(world: "World") -> str:
    """Lose the last record of a partition though it was acknowledged."""
    filled = [one for one in world.topic.partitions if one.records]
    if not filled:
        return "nothing to lose"
    filled[world.schedule.pick(len(filled))].records.pop()
    return "LOST the last record of a partition"


def records_swapped(world: "World") -> str:
    """Swap the last two unread records of a partition."""
    unread = [one.records for one in world.topic.partitions if len(one.records) > 1]
    unread = [records for records in unread if not (records[-2].given or records[-1].given)]
    if not unread:
        return "nothing to swap"
    records = unread[world.schedule.pick(len(unread))]
    one, other = records[-2:]
    records[-2:] = [
        replace(one, value=other.value, key=other.key),
        replace(other, value=one.value, key=one.key),
    ]
    return "SWAPPED the last two records of a partition"


def record_forged(world: "World") -> str:
    """Append a forged record: an event of another stream or version, or invalid bytes."""
    known = _some_record(world)
    customer = CUSTOMERS[world.schedule.pick(len(CUSTOMERS))]
    kind = world.schedule.pick(3)
    if known is None or known.revision == 1 or kind == 0:
        _append(world, customer, b'{"data": {"customer_id": %d}}' % customer)
        return f"FORGED no event, for {customer}"
    if kind == 1:
        _append(world, customer, foreign(known, customer))
        return f"FORGED revision {known.revision} of {customer}"
    _append(world, known.customer_id, of_newer_major(known))
    return f"FORGED revision {known.revision} of {known.customer_id} in version 2"


def _append(world: "World", customer: int, value: bytes) -> None:
    world.topic.append(language.partition(customer), language.key(customer), value)


def topic_lost(world: "World") -> str:
    """Lose the topic with all records and recreate it, while the group keeps its old offsets."""
    world.topic.make_anew()
    if world.schedule.pick(2):
        world.group.offsets = {}
    return "TOPIC LOST"


def offsets_reset(world: "World") -> str:
    """Reset the consumers to the beginning, or to the end."""
    to_end = world.schedule.pick(2) == 1
    for one, consumer in world.consumers.items():
        if world.processes[one].alive:
            consumer.seek_all(to_end=to_end)
    return f"OFFSETS to the {'end' if to_end else 'beginning'}"


def record_too_large(world: "World") -> str:
    """Let Kafka permanently reject one of the pending or next events."""
    waiting = [one.row.payload for one in world.writer.state.outbox.values()]
    waiting += [known.payload for open_ in world.writer.open for _, known in open_.rows]
    if not waiting:
        return "nothing waits"
    world.topic.too_large.add(waiting[world.schedule.pick(len(waiting))])
    return "TOO LARGE for Kafka"


def redis_emptied(world: "World") -> str:
    """Empty Redis."""
    world.redis.empty()
    return "FLUSH"


def writer_restored(world: "World") -> str:
    """Back up the writer, or restore the last backup; no relay runs meanwhile."""
    kept = world.kept
    if kept is None:
        world.kept = world.writer.backup()
        return "BACKUP"
    for name in ("relay-1", "relay-2"):
        world.kill(world.processes[name])
    world.writer.restore(kept)
    world.writer.go_on()
    world.writer.skew += timedelta(seconds=1)  # a restore takes a while
    for name in ("relay-1", "relay-2"):
        world.start(name)
    world.kept = None
    return "RESTORED"


def clock_of_writer(world: "World") -> str:
    """Stop the writer's clock for a while, or let it jump ahead."""
    if world.schedule.pick(2):
        world.writer.skew += timedelta(seconds=world.schedule.pick(5) * 10)
        return "the writer's clock jumps ahead"
    world.writer.stand()
    return "the writer's clock stands still, or goes on"


FAULTS: Final[list[Fault]] = [
    something_fails,
    redis_refuses,
    postgres_breaks,
    kafka_refuses,
    outbox_breaks,
    somebody_dies,
    somebody_sleeps,
    group_moves,
    record_again,
    record_lost,
    records_swapped,
    record_forged,
    topic_lost,
    offsets_reset,
    record_too_large,
    redis_emptied,
    writer_restored,
    clock_of_writer,
]
