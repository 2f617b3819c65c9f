"""Output of the command lines. Stored text is escaped: it cannot control the terminal.

No other shared module imports typer or rich.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service_runtime.terminal import printable

#: A pipe has no width: columns get room for whole words.
_PIPE_WIDTH: Final = 200
_NO_WIDTHS: Final[Mapping[str, int]] = {}


def say(text: str, *, err: bool = False) -> None:
    """Print a text, to stderr with `err`."""
    typer.echo(printable(text), err=err)


def fail(reason: str, status: int = 1) -> NoReturn:
    """Print the reason to stderr and raise `typer.Exit` with the status."""
    typer.secho(printable(reason), err=True, fg=typer.colors.RED)
    raise typer.Exit(status)


def show_rows(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] = (),
    *,
    as_json: bool,
    empty: str = "There is none.",
    widths: Mapping[str, int] = _NO_WIDTHS,
) -> None:
    """Print all fields as one JSON list, or `columns` (default: all) as a table.

    Columns named in `widths` get so many characters and are never wrapped; `empty` is printed if there is no row.
    """
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    if not rows:
        say(empty)
        return
    table = Table()
    for name in columns or rows[0]:
        table.add_column(name, no_wrap=name in widths, width=widths.get(name))
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in columns or row))
    (Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)).print(table)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif isinstance(value, dict):
        value = json.dumps(value) if value else ""
    return printable("" if value is None else str(value))
