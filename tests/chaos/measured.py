"""Measurements under load: one line for each process and load, with its broken guarantees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.operators import Held

#: Throughput under overload, as a share of the peak.
LEAST_SHARE: Final = 0.8
REFUSED_SECONDS: Final = 1.0
NORMAL_SECONDS: Final = 5.0
#: Pools, buffers and the allocator's reserve of the first overload of a process.
MOST_GROWTH: Final = 32 * 2**20
#: Problem codes and headers that mark a rejection for overload.
TRUE_REASONS: Final = frozenset({"503 overloaded"})
WIDTHS: Final = "{:<16} {:<18} {:>8} {:>8} {:>6} {:>8} {:<22} {:>8} {:>8} {:>8} {:>8} {:>8}"
TITLES: Final = (
    "process", "load", "offered", "served", "share", "refused", "reason", "served", "refused", "normal",
    "memory", "refusing",
)  # fmt: skip


@dataclass
class Measured:
    """One process under one load. Rates are per second, times in seconds, memory in bytes."""

    process: str
    load: str
    offered: float = 0.0
    served: float = 0.0
    #: Served, as a share of the process's peak in the same minute.
    share: float | None = None
    refused: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    longest_served: float = 0.0
    longest_refused: float = 0.0
    #: From the end of the load until everything was normal again; None: not in time.
    normal: float | None = None
    growth: int = 0
    #: The share of the process's processor time that rejections took.
    refusing: float | None = None

    def line(self) -> str:
        """Return it as a line of the table."""
        return WIDTHS.format(
            self.process,
            self.load,
            f"{self.offered:.0f}/s" if self.offered else "-",
            f"{self.served:.0f}/s",
            "-" if self.share is None else f"{self.share:.2f}",
            f"{self.refused:.0f}/s",
            ", ".join(self.reasons) or "-",
            f"{self.longest_served:.2f} s",
            f"{self.longest_refused:.2f} s",
            "never" if self.normal is None else f"{self.normal:.1f} s",
            f"{self.growth / 2**20:+.1f}M",
            "-" if self.refusing is None else f"{self.refusing:.0%}",
        )


def head() -> str:
    """Return the titles of the table."""
    return WIDTHS.format(*TITLES)


def broken_promises(
    found: Measured,
    slack: float,
    true_reasons: Iterable[str] = TRUE_REASONS,
    paused: float = 0.0,
) -> list[str]:
    """Return the broken guarantees of overload (I10). A slow machine gets `slack` times as long.

    Throughput is compared on a quiet machine only (`slack` of 1): other work on the machine changes it.
    `paused` is the longest pause of the process or its dependencies, in seconds.
    """
    name = f"I10: {found.process} at {found.load}"
    broken = []
    if slack == 1 and found.share is not None and found.share < LEAST_SHARE:
        broken.append(f"{name} serves {found.share:.2f} of its peak")
    if untrue := set(found.reasons) - set(true_reasons):
        broken.append(f"{name} refuses with {untrue}")
    if found.longest_refused > paused + REFUSED_SECONDS * slack:
        broken.append(f"{name} refuses after {found.longest_refused:.2f} s")
    if found.normal is None or found.normal > NORMAL_SECONDS * slack:
        broken.append(f"{name} is not normal within {NORMAL_SECONDS * slack:.0f} s of its end")
    if found.growth > MOST_GROWTH:
        broken.append(f"{name} grew by {found.growth / 2**20:.0f} MiB")
    return broken


def leaked(name: str, before: Held, after: Held) -> list[str]:
    """Return the resources of which a process holds more than before (I10)."""
    found = []
    if after.pid != before.pid:
        found.append(f"I10: {name} was restarted")
    if after.lent > before.lent:
        found.append(f"I10: {name} has {after.lent} connections of its pools in use at rest")
    if after.tasks > before.tasks + SPARE_TASKS:
        found.append(f"I10: {name} has {after.tasks} tasks at rest, {before.tasks} before")
    if after.descriptors > before.descriptors + SPARE_DESCRIPTORS:
        found.append(f"I10: {name} has {after.descriptors} files open, {before.descriptors} before")
    return found


#: Background traffic of the harness: its readers and publishers are served meanwhile.
SPARE_TASKS: Final = 24
#: Pools are filled by the first load and keep their connections.
SPARE_DESCRIPTORS: Final = 160
