"""Output for a person: numbered steps with durations, and colour on a terminal only."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.local.trouble import Trouble

GREEN, RED, YELLOW, BOLD, DIM = "32", "31", "33", "1", "2"
STILL_AT_IT_SECONDS = 15.0


def on_terminal() -> bool:
    """Return whether the output is a terminal."""
    return sys.stdout.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str) -> str:
    """Return the text in colour on a terminal with colour; unchanged elsewhere."""
    if not on_terminal() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{colour}m{text}\033[0m"


def line(text: str = "") -> None:
    """Print one line and flush."""
    print(text, flush=True)


def trouble(found: Trouble) -> None:
    """Print the error and its remedy to stderr."""
    print(f"{paint('cannot go on:', RED)} {found.what}.", file=sys.stderr)
    if found.remedy:
        print(f"  {found.remedy}", file=sys.stderr)
    if found.log:
        print(f"  Log: {found.log}", file=sys.stderr)


class Step:
    """One running step; `note` sets its result or what it waits for."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.began = time.monotonic()

    def note(self, detail: str) -> None:
        """Set a short description of the result, or of what the step waits for."""
        self.detail = detail

    def text(self, seconds: float) -> str:
        """Return the step as one line."""
        detail = f"  {self.detail}" if self.detail else ""
        return f"{self.title:<30} {seconds:6.1f} s{detail}"


class Steps:
    """Numbered list of steps, printed as they run. `quiet` prints nothing."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.total = total
        self.number = 0
        self.quiet = quiet
        self.said: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show one step from start to end; an exception marks it as failed."""
        self.number += 1
        step, over = Step(title), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(step, over), daemon=True)
        if not self.quiet:
            watcher.start()
        mark = paint("failed", RED)
        try:
            yield step
            mark = paint("ok", GREEN)
        finally:
            over.set()
            self.said.append(f"{title}: {step.detail}")
            if not self.quiet:
                watcher.join()
                self._print(step, mark, end="\n")

    def _print(self, step: Step, mark: str, end: str) -> None:
        seconds = time.monotonic() - step.began
        start = "\r\033[K" if on_terminal() else ""
        text = f"[{self.number:2}/{self.total}] {step.text(seconds)}"
        if end == "":
            text = text[: shutil.get_terminal_size().columns - 8]
        print(f"{start}{text}  {mark}", end=end, flush=True)

    def _watch(self, step: Step, over: threading.Event) -> None:
        if on_terminal():
            while not over.wait(0.2):
                self._print(step, "", end="")
            return
        while not over.wait(STILL_AT_IT_SECONDS):
            self._print(step, "still at it", end="\n")
