"""Specification of one process for the supervisor."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spec:
    """Specification of one process: how to start, check and stop it."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str | None = None
    # Stops go from the highest stage to the lowest; processes of one stage stop together.
    stage: int = 0
    # A port that the supervisor listens on for the process, so that a restart fails no request.
    listen_port: int | None = None
    # The operators' port, for readiness (own processes only).
    ops_port: int | None = None
    stop_signal: int = int(signal.SIGTERM)
    grace_seconds: float = 30.0

    def to_json(self) -> dict[str, Any]:
        """Return the specification as a JSON object."""
        return asdict(self)
