"""deploy/compose/secrets creates the secrets of an installation, once."""

import re
import stat
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def secrets(root: Path, tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    run(root, path)
    return path


def run(root: Path, path: Path) -> str:
    command = [root / "deploy/compose/secrets", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_only_the_owner_can_read_them(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600


def test_they_have_the_forms_that_the_processes_take(secrets: Path) -> None:
    made = values(secrets)

    for role in ("POSTGRES", "WRITER", "PORTAL", "QUERY", "GATEWAY", "DOCUMENTS", "LIMITS"):
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", made[f"{role}_PASSWORD"])
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{21}", made["KAFKA_CLUSTER_ID"])
    assert re.fullmatch(r"[a-z0-9]{8}:[A-Za-z0-9_-]{43}", made["IDENTITY_KEYS_QUERY"])
    assert re.fullmatch(r"[a-z0-9]{8}:[A-Za-z0-9_-]{43}", made["IDENTITY_KEYS_WRITER"])
    for key in ("WRITER_HISTORY_KEY", "DEMO_KEY"):
        assert re.fullmatch(r"rsw_live_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", made[key])


def test_no_two_are_the_same(secrets: Path) -> None:
    made = values(secrets)

    assert len(set(made.values())) == len(made)


def test_what_is_there_stays_and_what_is_missing_is_added(root: Path, secrets: Path) -> None:
    before = values(secrets)
    kept = {name: value for name, value in before.items() if name != "WRITER_PASSWORD"}
    secrets.write_text("".join(f"{n}={v}\n" for n, v in kept.items()) + "MINE=1")

    said = run(root, secrets)

    after = values(secrets)
    assert said == f"{secrets}: 1 added\n"
    assert {name: after[name] for name in kept} == kept
    assert after["MINE"] == "1"
    assert after["WRITER_PASSWORD"] != before["WRITER_PASSWORD"]


def test_a_line_that_was_taken_out_for_tls_stays_out(root: Path, secrets: Path) -> None:
    kept = [line for line in secrets.read_text().splitlines() if "COOKIE" not in line]
    secrets.write_text("\n".join(kept) + "\n")

    assert run(root, secrets) == f"{secrets}: 0 added\n"


def test_a_second_run_changes_nothing(root: Path, secrets: Path) -> None:
    before = secrets.read_bytes()

    run(root, secrets)

    assert secrets.read_bytes() == before
