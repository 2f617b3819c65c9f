"""The checker of invariants: it finds violating reads and accepts correct ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deploy.local.layout import ROOT
from tests.chaos import catalogue, check, gate, soak
from tests.chaos.memory import Memory
from tests.chaos.reads import Read
from tests.chaos.verdict import Result

ZONE = "America/Chicago"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(revision: int, unit: str) -> dict[str, Any]:
    repair = {
        "repair_id": f"repair-{revision}",
        "unit_number": unit,
        "repair_date": "2026-02-10T12:00:00Z",
        "status": "PENDING",
        "removed": False,
    }
    moment = (START + timedelta(seconds=revision)).isoformat()
    return {"time": moment, "data": {"revision": revision, "repair": repair}}


EVENTS = {7: [event(1, "A"), event(2, "A"), event(3, "B")]}
# The third change was acknowledged half a second after it had been accepted.
ACKED = {(7, 3): (START + timedelta(seconds=3.5)).timestamp()}
TWO = b'[{"unit_number": "A", "repair_count": 2}]'
GOOD = Read(
    session=1,
    customer=7,
    view="units",
    began=(START + timedelta(seconds=5)).timestamp(),
    took=0.1,
    asked=2,
    asked_refold=9,
    status=200,
    revision=2,
    refold=9,
    as_of=START + timedelta(seconds=3),
    lag=3,
    body=TWO,
)


def judged(*found: Read, may_break: bool = False) -> list[str]:
    return [
        sentence.partition(":")[0]
        for sentence in check.reads(found, EVENTS, ZONE, acked=ACKED, may_break=may_break)
    ]


def test_an_answer_that_keeps_every_law_passes() -> None:
    assert judged(GOOD) == []


@pytest.mark.parametrize(
    ("read", "law"),
    [
        (replace(GOOD, body=b'[{"unit_number": "A", "repair_count": 1}]'), "I7"),
        (replace(GOOD, revision=4, asked=0), "I7"),
        (replace(GOOD, asked=3), "I6"),
        (replace(GOOD, as_of=START + timedelta(seconds=4)), "I8"),
        (replace(GOOD, lag=1), "I8"),
        (replace(GOOD, status=500, body=b"boom"), "I12"),
        (replace(GOOD, status=503), "I12"),
        (replace(GOOD, status=-1), "I12"),
        (replace(GOOD, status=0), "I12"),
    ],
)
def test_an_answer_that_breaks_a_law_is_named(read: Read, law: str) -> None:
    assert judged(read) == [law]


def test_a_session_that_goes_back_is_named() -> None:
    older = replace(GOOD, revision=1, asked=0, as_of=None, lag=9, body=TWO.replace(b": 2", b": 1"))
    assert judged(GOOD, older) == ["I5"]


def test_a_higher_refold_may_begin_anew() -> None:
    older = replace(
        GOOD, revision=1, refold=10, as_of=None, lag=9, body=TWO.replace(b": 2", b": 1")
    )
    assert judged(GOOD, older) == []


def test_a_refusal_says_when_to_come_again() -> None:
    assert judged(replace(GOOD, status=503, retry_after="1")) == []


def test_a_broken_connection_is_pardoned_where_its_end_was_killed() -> None:
    assert judged(replace(GOOD, status=0), may_break=True) == []


def test_an_age_is_judged_by_the_clock_of_who_was_told() -> None:
    assert check.ages([GOOD, replace(GOOD, revision=3, lag=None)], ACKED) == {
        "with a lag": 1,
        "without": 1,
        "behind": 1,
    }


def grown(name: str, *megabytes: float) -> Memory:
    """Return a memory record of a process with these sizes, ten seconds apart."""
    memory = Memory()
    samples = enumerate(megabytes)
    memory.samples[name, 1] = [(10.0 * n, int(size * 2**20)) for n, size in samples]
    return memory


def test_who_grows_after_warming_up_is_named() -> None:
    steady = [40.0, 60.0, *[80.0] * 20]
    assert [life.too_much for life in grown("relay", *steady).lives()] == [False]
    assert [life.too_much for life in grown("relay", *steady, *[86.0] * 5).lives()] == [True]
    assert [life.too_much for life in grown("kafka", *steady, *[86.0] * 5).lives()] == [False]
    assert grown("relay", *[40.0] * 9).lives() == []


def test_a_soak_counts_what_its_rounds_found() -> None:
    result = Result("random round 1", "random", acked=50, reads=99, failed={"units 503": 1})
    result.staged, result.violations = {"kill relay": 2, "relay.mid_send kill": 1}, ["I7: torn"]
    found = soak.summary([result, result], grown("relay", *[40.0] * 20).lives(), {"relay": 3}, 10.0)
    assert (found["commands acknowledged"], found["reads a second"]) == (100, 19.8)
    assert (found["faults"], found["failpoints fired"]) == (6, {"relay.mid_send kill": 2})
    assert (found["available %"], found["not answered"]) == (99.0, {"units 503": 2})
    assert found["violations"] == ["random round 1: I7: torn"] * 2


@pytest.mark.parametrize(
    "head", ["Why: x\nShows: y", "Why: x\nTest: t\nScenario: s\nShows: y", "Test: t\nShows: y"]
)
def test_a_patch_without_a_whole_head_is_refused(tmp_path: Path, head: str) -> None:
    patch = tmp_path / "01-x.patch"
    patch.write_text(f"A bug.\n\n{head}\n\ndiff --git a/x b/x\n")
    with pytest.raises(ValueError, match=r"01-x\.patch"):
        gate.read(patch)


def test_rows_without_a_scenario_have_a_test_of_their_own() -> None:
    staged = {row for scenario in catalogue.SCENARIOS for row in scenario.row.split(", ")}

    assert not staged & catalogue.ELSEWHERE.keys()
    assert [place for place in catalogue.ELSEWHERE.values() if not (ROOT / place).is_file()] == []
