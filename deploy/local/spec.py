"""What the supervisor needs to know of one process."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spec:
    """One process: how it is started, watched and stopped."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str | None = None
    # Stopped from the highest stage to the lowest, those of one stage together.
    stage: int = 0
    # A port that the supervisor listens on for the process, so that a restart refuses nobody.
    listen_port: int | None = None
    # Where it says whether it is ready (processes of ours).
    ops_port: int | None = None
    stop_signal: int = int(signal.SIGTERM)
    grace_seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)
