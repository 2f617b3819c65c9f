import json
import os
import subprocess
from pathlib import Path

import pytest
from deploy.local.layout import ROOT, Place


def dev(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "dev"), *arguments],
        env={**os.environ, "DEV_STATE": str(place.state), "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("env",),
        ("logs",),
        ("restart", "query"),
        ("demo", "live"),
        ("backup", "there"),
        ("restore", "there"),
    ],
)
def test_before_the_first_start_a_command_says_what_to_do(
    place: Place, command: tuple[str]
) -> None:
    done = dev(place, *command)

    assert done.returncode == 1
    assert "./dev up" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_is_one_object_even_when_nothing_runs(place: Place) -> None:
    done = dev(place, "status", "--json")

    assert json.loads(done.stdout)["ready"] is False
    assert done.returncode == 1


def test_down_with_nothing_running_is_no_error(place: Place) -> None:
    done = dev(place, "down")

    assert done.returncode == 0
    assert "nothing was running" in done.stdout


def test_reset_deletes_nothing_when_nobody_can_be_asked(place: Place) -> None:
    done = dev(place, "reset")

    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert place.state.exists()


def test_reset_with_yes_deletes_all_state(place: Place) -> None:
    done = dev(place, "reset", "--yes")

    assert done.returncode == 0
    assert not place.state.exists()
    place.create()


def test_there_is_no_colour_where_no_terminal_is(place: Place) -> None:
    assert "\033" not in dev(place, "doctor").stdout


def test_doctor_speaks_of_everything_that_a_start_needs(place: Place) -> None:
    said = dev(place, "doctor").stdout

    for word in ("Python", "disk", "memory", "packages", "Kafka", "container engine", "ports"):
        assert word in said


def test_it_can_be_called_from_another_folder(place: Place, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ROOT / "dev"), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert "doctor" in done.stdout


def test_a_word_that_is_no_command_is_refused_with_those_that_are(place: Place) -> None:
    done = dev(place, "upp")

    assert done.returncode == 2
    assert "doctor" in done.stderr
