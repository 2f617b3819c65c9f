"""Probes: requests that check whether a server responds, each with a deadline."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from typing import TYPE_CHECKING

from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS = 0.05


def eventually(answers: Callable[[], bool], seconds: float) -> bool:
    """Repeat the probe until it succeeds or the time is over; return whether it succeeded."""
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)
    return True


def http_status(port: int, path: str, timeout: float = 2.0) -> int:
    """Return the HTTP status of a GET on this machine, 0 without a response."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def ready(port: int) -> bool:
    """Return whether the process with this operators' port is ready."""
    return http_status(port, "/readyz") == 200  # noqa: PLR2004


def postgres(port: int) -> bool:
    """Return whether PostgreSQL accepts connections: it requests a password; a starting one sends an error."""
    body = struct.pack("!i", 196_608) + b"user\0postgres\0database\0postgres\0\0"
    return _exchange(port, struct.pack("!i", len(body) + 4) + body).startswith(b"R")


def valkey(port: int) -> bool:
    """Return whether Valkey responds to a PING, including with a request for the password."""
    return _exchange(port, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH"))


def kafka(port: int) -> bool:
    """Return whether the broker responds to an ApiVersions request."""
    body = struct.pack("!hhi", 18, 0, 1) + struct.pack("!h", 5) + b"local"
    answer = _exchange(port, struct.pack("!i", len(body)) + body)
    return len(answer) > 10 and answer[8:10] == b"\0\0"  # noqa: PLR2004


def _exchange(port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(question)
            return connection.recv(4096)
    except OSError:
        return b""
