"""The system under test, from `./dev status --json`, with signed-in visitors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".run"


@dataclass(frozen=True)
class System:
    """The addresses of the running system."""

    portal: str
    writer: str
    query: str
    kafka: str
    topic: str
    redis: str
    databases: dict[str, str]
    key: str
    time_zone: str

    @classmethod
    def found(cls) -> Self:
        """Return the system that `./dev up` has started. Exits with a sentence without one."""
        status = read_status()
        if not status.get("ready"):
            sys.exit("The system is not up: run ./dev up first.")
        urls = status["urls"]
        return cls(
            urls["portal"], urls["writer"], urls["query"], status["kafka"], status["topic"], status["redis"],
            status["postgres"], status["internal_key"], status["time_zone"],
        )  # fmt: skip

    def query_keys(self) -> str:
        """Return the keys with which the gateway signs identities for the query API."""
        return (STATE / "secrets" / "identity_keys_query").read_text().strip()


def read_status() -> dict[str, Any]:
    """Return the object of `./dev status --json`; empty when nothing runs."""
    asked = [str(ROOT / "dev"), "status", "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=ROOT)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def resident() -> dict[str, float]:
    """Return the resident memory of each process in MiB."""
    processes = read_status().get("processes", [])
    return {found["name"]: (found["rss_bytes"] or 0) / 2**20 for found in processes}
