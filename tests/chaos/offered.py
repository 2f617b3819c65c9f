"""Offered load and its results, measured by a process of its own (`tests.chaos.arrivals`)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.wrk import Load
from deploy.local import process_id
from deploy.local.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: More callers than any process serves at once, and fewer than one address may have connections. An
#: arrival beyond them is counted, not sent.
CALLERS = 384
#: A rejection must come within a second. A caller waits longer, so that a late response is recorded
#: as late.
PATIENCE_SECONDS = 5.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Offer(Load):
    """Requests to send: at a rate, or without one as a closed loop (one response, one request)."""

    rate: float | None = None
    patience: float = PATIENCE_SECONDS


@dataclass(frozen=True)
class Seconds:
    """Response times in seconds."""

    median: float = 0.0
    p99: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True)
class Answered:
    """Results of an offer. Rates are per second."""

    offered: float
    served: float
    refused: float
    #: Rejections by status and problem code.
    reasons: dict[str, int] = field(default_factory=dict)
    #: Arrivals without a free caller: the limit of the instrument.
    unsent: int = 0
    without_retry_after: int = 0
    broken: int = 0
    unanswered: int = 0
    served_in: Seconds = Seconds()
    refused_in: Seconds = Seconds()


async def send(offer: Offer, until: asyncio.Event | None = None) -> Answered:
    """Send an offer from a process of its own; it ends early when `until` is set.

    Raises RuntimeError when that process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "offer.json"
        spec.write_text(json.dumps(asdict(offer)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.arrivals", str(spec),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        _on_processor(process.pid, LAST)
        ending = asyncio.create_task(_end(process, until)) if until is not None else None
        try:
            output, errors = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        finally:
            if ending is not None:
                ending.cancel()
    if process.returncode:
        raise RuntimeError(f"the load process failed: {errors.decode(errors='replace')[-500:]}")
    return _answered(json.loads(output))


async def _end(process: asyncio.subprocess.Process, until: asyncio.Event) -> None:
    await until.wait()
    process.terminate()


def _answered(found: dict[str, Any]) -> Answered:
    seconds = found["seconds"]
    return Answered(
        offered=found["offered"] / seconds,
        served=found["served"] / seconds,
        refused=sum(found["refused"].values()) / seconds,
        reasons=found["refused"],
        unsent=found["unsent"],
        without_retry_after=found["without_retry_after"],
        broken=found["broken"],
        unanswered=found["unanswered"],
        served_in=Seconds(*found["served_seconds"]),
        refused_in=Seconds(*found["refused_seconds"]),
    )


FIRST, LAST = "first", "last"


def _on_processor(pid: int, which: str) -> None:
    """Bind a process, its threads and its children to one processor, where the machine can."""
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(processors) > 1:
        _bind(pid, {processors[0] if which == FIRST else processors[-1]})


def _bind(pid: int, processors: set[int]) -> None:
    for thread in _threads(pid):
        try:
            os.sched_setaffinity(thread, processors)
        except ProcessLookupError:
            continue


@contextmanager
def separated(pids: Iterable[int]) -> Iterator[None]:
    """Keep these processes and their children on one processor; the load has another.

    Otherwise the load takes processor time from the system, the more the higher it is.
    The block runs unbound on a machine with one processor, without binding, or with other users.
    """
    alone = os.getloadavg()[0] <= (os.cpu_count() or 1)
    bound = [one for pid in pids for one in (pid, *descendants(pid))] if alone else []
    for pid in bound:
        _on_processor(pid, FIRST)
    try:
        yield
    finally:
        if hasattr(os, "sched_getaffinity"):
            for pid in bound:
                _bind(pid, os.sched_getaffinity(0))


def descendants(pid: int) -> list[int]:
    """Return the running descendants of a process."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(one) for one in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def _threads(pid: int) -> list[int]:
    try:
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = process_id._stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND if fields else 0.0
