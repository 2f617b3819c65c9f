"""Settings: all errors are reported at once, and secrets are never shown."""

import os
from pathlib import Path

import pytest
from pydantic import Field

from service_runtime.settings import EXIT_CONFIG, AdminSettings, ServiceSettings, load


class Settings(ServiceSettings):
    database_url: str = Field(min_length=1)
    secret_key: str = Field(min_length=32)
    workers: int = Field(default=1, ge=1, le=8)
    careful: bool = True


GOOD = {"OPS_PORT": "9101", "DATABASE_URL": "postgresql://x", "SECRET_KEY": "s" * 32}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return a function that sets variables, in an environment without ours."""
    for name in list(os.environ):
        if name.removesuffix("_FILE").lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    return monkeypatch


def set_all(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EXIT_CONFIG == 78
    written = capsys.readouterr()
    assert written.out == ""
    return written.err


def test_good_settings_are_read_once_and_cannot_be_changed(
    environment: pytest.MonkeyPatch,
) -> None:
    set_all(environment, GOOD | {"WORKERS": "3", "CAREFUL": "false", "LOG_LEVEL": "debug"})
    settings = load(Settings)
    assert (settings.ops_port, settings.workers, settings.careful) == (9101, 3, False)
    assert (settings.log_level, settings.log_format, settings.ops_host) == (
        "debug",
        "json",
        "127.0.0.1",
    )
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 4  # type: ignore[misc]


def test_all_problems_are_named_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_all(
        environment,
        {"OPS_PORT": "70000", "SECRET_KEY": "tooshort", "WORKERS": "many", "LOG_LEVEL": "loud"},
    )
    said = complaint(capsys)
    for name in ("OPS_PORT", "SECRET_KEY", "WORKERS", "LOG_LEVEL", "DATABASE_URL"):
        assert f"  {name}: " in said
    assert "Field required" in said
    assert "tooshort" not in said
    assert "Traceback" not in said


def test_nothing_set_at_all_names_what_is_required(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys)
    assert "OPS_PORT" in said
    assert "DATABASE_URL" in said
    assert "WORKERS" not in said


def test_an_empty_variable_is_a_missing_one(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_all(environment, GOOD | {"DATABASE_URL": ""})
    assert "DATABASE_URL: Field required" in complaint(capsys)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_value_may_come_from_a_file(
    environment: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(("f" * 40 + end).encode())
    set_all(environment, GOOD)
    environment.delenv("SECRET_KEY")
    environment.setenv("SECRET_KEY_FILE", str(secret))
    assert load(Settings).secret_key == "f" * 40


def test_a_number_may_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("9105\n")
    set_all(environment, GOOD)
    environment.delenv("OPS_PORT")
    environment.setenv("OPS_PORT_FILE", str(tmp_path / "port"))
    assert load(Settings).ops_port == 9105


def test_a_variable_wins_over_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("f" * 40)
    set_all(environment, GOOD | {"SECRET_KEY_FILE": str(tmp_path / "secret")})
    assert load(Settings).secret_key == "s" * 32


def test_files_that_cannot_be_read_are_named_beside_all_other_problems(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_all(
        environment,
        {
            "SECRET_KEY_FILE": str(tmp_path / "no-such-file"),
            "DATABASE_URL_FILE": str(tmp_path),
            "WORKERS": "0",
        },
    )
    said = complaint(capsys)
    for name in ("SECRET_KEY", "DATABASE_URL", "WORKERS", "OPS_PORT"):
        assert f"  {name}: " in said
    assert "no-such-file" in said


def test_a_file_that_is_no_text_is_named_and_not_shown(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00 hush")
    set_all(environment, GOOD)
    environment.delenv("SECRET_KEY")
    environment.setenv("SECRET_KEY_FILE", str(tmp_path / "secret"))
    said = complaint(capsys)
    assert "  SECRET_KEY: " in said
    assert "hush" not in said


def test_a_command_line_needs_no_port(environment: pytest.MonkeyPatch) -> None:
    assert load(AdminSettings).log_level == "info"
