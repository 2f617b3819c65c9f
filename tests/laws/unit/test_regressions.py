"""Schedules with which the simulation once broke an invariant, each as explicit steps."""

from collections.abc import Callable, Iterator

import pytest
from tests.laws.world.doors import opened
from tests.laws.world.faults import record_lost
from tests.laws.world.schedule import Schedule
from tests.laws.world.world import World

from repair_events import topic

CUSTOMER = 2
PARTITION = topic.partition(CUSTOMER)

#: Does one thing when all processes are blocked, and returns whether the next step may follow.
Step = Callable[[World], bool]


@pytest.fixture(autouse=True, scope="module")
def _doors() -> Iterator[None]:
    with opened():
        yield


class ScriptedWorld(World):
    """A simulation that runs its steps in order; afterwards nothing fails and all copies must
    agree.
    """

    def __init__(self, *steps: Step) -> None:
        super().__init__(b"", record_lost)  # no decisions: the schedule draws no fault
        self._steps = list(steps)

    def _heal(self, seconds: float | None) -> None:
        if not self._steps:
            super()._heal(seconds)
        elif self._steps[0](self):
            self.trace.append(f"--- {self._steps.pop(0).__name__}")


def _go_on(world: World, without: str | None = None) -> None:
    """Complete the oldest call, except those with this word in their names, or let time pass."""
    calls = world.calls.answerable()
    answerable = [one for one in calls if without is None or without not in one.name]
    if answerable:
        world.trace.append(answerable[0].name)
        world.calls.answer(answerable[0])
    else:
        world.pass_time(None)


def all_agree(world: World) -> bool:
    """Continue until all copies agree."""
    if not world.truth.differences():
        return True
    _go_on(world)
    return False


def accept_event(world: World) -> bool:
    """Accept a change of the customer's profile, which concerns no other customer."""
    world.writer.begin(Schedule(bytes([CUSTOMER - 1, 9, 0])))
    world.writer.commit(0)
    return True


def relay_sends(world: World) -> bool:
    """Continue until the outbox is empty, while no projector reads."""
    if not world.writer.state.outbox:
        return True
    _go_on(world, without="getmany")
    return False


def lose_last_record(world: World) -> bool:
    """Lose the last record of the customer's partition; its offset is not used again."""
    world.topic.partitions[PARTITION].records.pop()
    return True


def lose_last_record_but_one(world: World) -> bool:
    """Lose the record before the last one of the customer's partition."""
    world.topic.partitions[PARTITION].records.pop(-2)
    return True


def redeliver_first_event(world: World) -> bool:
    """Append the customer's first event to the topic once more."""
    first = world.writer.state.lists[CUSTOMER][0]
    world.topic.append(PARTITION, topic.key(CUSTOMER), first.payload)
    return True


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param([lose_last_record], id="within what is read"),
        pytest.param([lose_last_record_but_one], id="before what is read"),
        pytest.param([lose_last_record, lose_last_record], id="everything new"),
    ],
)
def test_as_of_does_not_pass_a_gap_in_the_offsets(losses: list[Step]) -> None:
    """A read that returned both sides of a lost record once skipped an older record behind it."""
    ScriptedWorld(
        accept_event,
        all_agree,
        accept_event,
        accept_event,
        relay_sends,
        *losses,
        redeliver_first_event,
    ).run()
