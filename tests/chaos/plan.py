"""Plan of a run: the times of all faults.

A seed always gives the same plan; a file restores one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One fault: its time in seconds of its round, its kind and its arguments."""

    at: float
    fault: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A seed with its result: directed scenarios in order, then rounds of random faults."""

    seed: int
    directed: list[str]
    rounds: list[list[Step]]

    def show(self) -> str:
        """Return the plan as lines for a person."""
        lines = [f"seed {self.seed}"]
        lines += [f"  scenario {n}: {name}" for n, name in enumerate(self.directed, 1)]
        for number, steps in enumerate(self.rounds, 1):
            said = ", ".join(f"{step.at:.0f} s {step.fault} {_said(step.args)}" for step in steps)
            lines.append(f"  round {number}: {said}")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write it to a file that `load` reads."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan. Raises OSError, or KeyError and ValueError for another kind of file."""
        found = json.loads(path.read_text())
        rounds = [[Step(**step) for step in steps] for steps in found["rounds"]]
        return cls(found["seed"], found["directed"], rounds)


def _said(args: dict[str, Any]) -> str:
    return " ".join(str(value) for value in args.values())


def directed(seed: int, names: Sequence[str]) -> Plan:
    """Return a plan of these scenarios in this order."""
    return Plan(seed, list(names), [])


def random(
    seed: int,
    rounds: int,
    choices: dict[str, list[dict[str, Any]]],
    *,
    seconds: float = 45.0,
    first: Sequence[Step] = (),
) -> Plan:
    """Return rounds of faults: every kind once before any repeats, in an order of the seed.

    Each round begins with the steps of `first`.
    """
    rng = Random(seed)
    deck: list[tuple[str, dict[str, Any]]] = []
    made: list[list[Step]] = []
    for _ in range(rounds):
        steps, at = list(first), 3.0
        while at < seconds:
            if not deck:
                deck = [(name, args) for name, every in choices.items() for args in every]
                rng.shuffle(deck)
            name, args = deck.pop()
            steps.append(Step(round(at, 1), name, args))
            at += rng.uniform(2.0, 7.0)
        made.append(steps)
    return Plan(seed, [], made)
