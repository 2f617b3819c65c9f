"""Division of the tests into runs by `./dev test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deploy.local import checks, rings
from deploy.local.ring_times import OTHERS, RINGS

if TYPE_CHECKING:
    from pathlib import Path


def test_each_ring_is_in_one_lane() -> None:
    assert sorted((*rings.SERVICES, *rings.SYSTEMS)) == sorted((*RINGS, OTHERS))


@pytest.mark.parametrize("long", [False, True])
def test_a_test_runs_beside_others_or_alone(long: bool) -> None:
    beside, alone = rings.lanes(long=long)

    def marks(lane: rings.Lane) -> str:
        return lane.arguments[lane.arguments.index("-m") + 1]

    chosen = "" if long else " and not long"
    assert {marks(lane) for lane in beside} == {f"not alone{chosen}"}
    assert marks(alone) == f"alone{chosen}"
    # The tests that run alone are of any ring.
    assert not any(word.startswith("--rings") for word in alone.arguments)


def test_no_run_repeats_the_tests_of_the_check() -> None:
    beside, alone = rings.lanes(long=False)
    quick = next(check for check in checks.lanes()[1] if check.name == "unit, contract tests")

    for lane in (*beside, alone):
        left_out = {word.partition("=")[2] for word in lane.arguments if "--ignore=" in word}
        assert left_out
        assert left_out <= set(quick.argv), "each test that is left out is run by the check"


def test_a_run_chooses_rings(capfd: pytest.CaptureFixture[str]) -> None:
    listed = [
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/contract/test_partitioner.py",
    ]
    listed.append("tests/unit/test_fast.py")

    code, _ = rings._run_lane(rings.Lane("some", ["--rings=contract,chaos", *listed]))

    found = [line for line in capfd.readouterr().out.splitlines() if "::" in line]
    assert code == 0
    assert found
    assert all(line.startswith("some     tests/contract/") for line in found)


def test_a_ring_that_is_not_there_is_refused() -> None:
    code, last = rings._run_lane(
        rings.Lane("", ["--rings=outer", "--collect-only", "-q", "tests/unit/test_fast.py"])
    )

    assert code == pytest.ExitCode.USAGE_ERROR
    assert "outer" in last


def test_a_failure_in_a_lane_fails_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for name, body in (("good", "pass"), ("bad", "assert 1 == 2")):
        file = tmp_path / f"test_{name}.py"
        file.write_text(f"def test_it():\n    {body}\n")
        runs.append(
            rings.Lane(
                name,
                ["-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={tmp_path}", str(file)],
            )
        )

    assert rings._run_tests([], runs, rings.Lane("alone", runs[0].arguments)) != 0

    said = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[-3:]] == ["good", "bad", "alone"]
    assert "1 failed" in said[-2]
    report = [
        n for n, line in enumerate(said) if line.startswith("bad") and "assert 1 == 2" in line
    ]
    assert report, "the report of a lane is printed"
