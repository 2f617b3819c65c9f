"""HTTP load: wrk with a small Lua script where it is installed, else our own plain client.

Both run in a process of their own, so that their cost is visible.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LUA = Path(__file__).with_name("rotate.lua")


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests to send: one path, header groups that take turns, an optional body.

    In the body `%d` becomes a new number and `%c` one of `customers` from `first_customer` on.
    """

    url: str
    path: str
    headers: Sequence[dict[str, str]] = ({},)
    method: str = "GET"
    body: str = ""
    first_customer: int = 0
    customers: int = 1
    connections: int = 64
    seconds: float = 8


@dataclass(frozen=True)
class Result:
    """Result: rate, latencies in milliseconds, and the number of failed or missing responses."""

    per_second: float
    p50: float
    p99: float
    failures: int
    client: str


async def measure(load: Load, *, warm_up: float = 2) -> Result:
    """Send for a discarded warm-up, then for `load.seconds`.

    Raises RuntimeError when no request succeeds.
    """
    if warm_up:
        await _run(load, warm_up)
    return await _run(load, load.seconds)


async def _run(load: Load, seconds: float) -> Result:
    # The folder is removed with the block.
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "load.json"
        spec = asdict(load) | {"seconds": seconds}
        wanted.write_text(json.dumps(spec))
        if shutil.which("wrk"):
            (Path(folder) / "load.lua").write_text(_lua(load))
            return await _wrk(load, seconds, Path(folder) / "load.lua")
        return await _own(wanted)


async def _own(wanted: Path) -> Result:
    text = await _output(sys.executable, "-m", "bench.client", str(wanted))
    found = json.loads(text)
    return Result(found["per_second"], found["p50"], found["p99"], found["failures"], "own client")


async def _wrk(load: Load, seconds: float, script: Path) -> Result:
    text = await _output(
        "wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s",
        "-s", str(script), load.url,
    )  # fmt: skip
    match = re.search(r"RESULT (\{.*\})", text)
    if match is None:
        raise RuntimeError(f"wrk said: {text[:500]}")
    found = json.loads(match[1])
    return Result(found["per_second"], found["p50"], found["p99"], found["failures"], "wrk")


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {text[:500]}")
    return text


def _lua(load: Load) -> str:
    """Return the script: ready-made requests that take turns, or bodies that count."""
    groups = ",\n".join(
        "{"
        + ", ".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in group.items())
        + "}"
        for group in load.headers
    )
    numbers = f"local first_customer, customers = {load.first_customer}, {load.customers}\n"
    given = (
        numbers
        + f"local method, path, body = {json.dumps(load.method)}, {json.dumps(load.path)}, {_long(load.body)}\n"
    )
    return given + f"local groups = {{\n{groups}\n}}\n" + LUA.read_text()


def _long(text: str) -> str:
    return f"[==[{text}]==]" if text else "nil"
