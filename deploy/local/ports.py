"""Ports of the processes: the usual one, or the next free one, and the same one at the next start."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from deploy.local.layout import read_json, write_json
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"
USUAL = {
    "gateway": 8080,
    "writer": 8081,
    "query": 8082,
    "postgres": 5433,
    "documents": 6380,
    "limits": 6381,
    "kafka": 9092,
    "kafka_controller": 9093,
    "writer_ops": 9101,
    "relay_ops": 9102,
    "projector_1_ops": 9103,
    "projector_2_ops": 9104,
    "query_ops": 9105,
    "gateway_ops": 9106,
}
TRIES = 200
# Not the seeded numbers of a test: runs beside each other with the same seed would choose the same ports.
_random = random.SystemRandom()


def is_free(port: int) -> bool:
    """Return whether a port is free, both on the loopback and on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(preferred: Mapping[str, int]) -> dict[str, int]:
    """Return name -> the first free port at or above the preferred one; 0 means any port.

    Raises Trouble if a long range of ports is in use.
    """
    chosen: dict[str, int] = {}
    for name, first in preferred.items():
        if first == 0:
            # Below the range of ephemeral ports.
            start = _random.randrange(20_000, 32_000)
            row = range(start, start + TRIES)
            chosen[name] = _first_free(row, taken=set(chosen.values()), name=name)
        else:
            near = range(first, min(first + TRIES, 65_536))
            chosen[name] = _first_free(near, taken=set(chosen.values()), name=name)
    return chosen


def _first_free(candidates: range, taken: set[int], name: str) -> int:
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise Trouble(
        f"no free port for {name} between {candidates.start} and {candidates.stop - 1}",
        "Stop what listens there (ss -ltnp shows it), then run the command again.",
    )


def remembered(path: Path, usual: Mapping[str, int]) -> dict[str, int]:
    """Choose ports, preferably those of the last start, and store them in `path`."""
    before = {name: port for name, port in read_json(path).items() if name in usual}
    chosen = choose({**usual, **before})
    write_json(path, chosen)
    return chosen
