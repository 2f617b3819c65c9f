"""Logs: one JSON object a line; a library's repeated message is logged once."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service_runtime import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Restore the logging that the other tests expect."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_json_with_the_service_the_level_and_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(level="info", log_format="json", service="relay")
    logs.get().info("sent", count=3, unit="naïve 🚚", odd=object)
    logs.get().debug("not this")
    (line,) = lines(capsys)
    assert (line["message"], line["count"], line["unit"]) == ("sent", 3, "naïve 🚚")
    assert (line["service"], line["level"]) == ("relay", "info")
    assert line["timestamp"].endswith("Z")


def test_a_person_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", log_format="console", service="relay")
    logs.get().warning("postgres_away", seconds=2)
    said = capsys.readouterr().out
    assert "postgres_away" in said
    assert "seconds=2" in said


def test_what_a_library_warns_of_is_one_of_our_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="info", log_format="json", service="relay")
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.error("Could not %s", "connect", exc_info=OSError("no route"))
    (line,) = lines(capsys)
    assert (line["message"], line["logger"], line["level"]) == ("library", "some.library", "error")
    assert line["text"] == "Could not connect: OSError('no route')"


def test_a_library_that_repeats_itself_is_heard_once_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure(level="info", log_format="json", service="relay")
    library = logging.getLogger("some.library")
    for node in range(50):
        library.error("Unable to connect to node %s", node)
    library.error("Something else")
    assert [line["text"] for line in lines(capsys)] == [
        "Unable to connect to node 0",
        "Something else",
    ]
    monkeypatch.setattr(logs, "_SAY_AGAIN_SECONDS", 0.0)
    library.error("Unable to connect to node %s", 50)
    (line,) = lines(capsys)
    assert (line["text"], line["unheard"]) == ("Unable to connect to node 50", 49)
