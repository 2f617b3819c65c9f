"""Tables and messages of the command lines, also of stored text that is hostile."""

import json
from datetime import UTC, datetime

import pytest
import typer

from service_runtime.command_line import fail, show_rows

HOSTILE = "[/x] [bold]c[/bold] \x1b]0;owned\x07 \u202eexe.gnp"
ROW = {"name": HOSTILE, "at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "may": ["a", "b"]}


def test_a_table_shows_stored_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([ROW | {"none": None, "more": {}}], as_json=False)
    out = capsys.readouterr().out
    assert "[/x] [bold]c[/bold] \\x1b]0;owned\\x07 \\u202eexe.gnp" in out
    assert "2026-03-01 12:30" in out
    assert "a, b" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_a_table_has_the_columns_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([ROW], ("at", "may"), as_json=False, widths={"may": 3})
    out = capsys.readouterr().out
    assert "name" not in out
    assert "may" in out


def test_json_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([ROW], ("at",), as_json=True)
    assert json.loads(capsys.readouterr().out)[0].keys() == ROW.keys()


def test_no_row_is_a_sentence_or_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], as_json=False, empty="No key.")
    show_rows([], as_json=True)
    assert capsys.readouterr().out == "No key.\n[]\n"


def test_a_failure_is_told_on_stderr_with_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail(f"no {HOSTILE}", 69)
    assert ended.value.exit_code == 69
    said = capsys.readouterr()
    assert said.out == ""
    assert "\\x1b]0;owned" in said.err
