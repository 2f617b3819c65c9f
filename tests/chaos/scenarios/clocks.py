"""One process's clock is hours wrong (row 49): months, ages and sessions do not depend on it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
from tests.chaos.trial import NotStagedError, Scenario, Trial
from tests.oracle.sessions import open_sessions
from tests.oracle.settle import PATHS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOURS = 3
# The server refreshes the date of its responses once a second; a token is valid for some seconds.
DATE_SECONDS = 1.5
PIPE = ("writer", "relay", "projector-1", "projector-2")
EXPIRED = "UPDATE gateway.session SET expires_at = now() - interval '1 hour' WHERE id_hash = sha256($1::bytea)"


def _library() -> Path:
    """Return the library that fakes the time. Raises NotStagedError on an unsupported machine."""
    if not sys.platform.startswith("linux"):
        raise NotStagedError("a process is given a wrong clock on Linux only")
    import libfaketime

    found = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
    if not found.exists():
        raise NotStagedError("libfaketime is not built for this machine")
    return found


def settings(file: Path) -> dict[str, str]:
    """Return the settings for a process clock read from a file (`+3h`). Raises NotStagedError."""
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def _under_a_clock(t: Trial, names: tuple[str, ...]) -> Callable[[str], None]:
    """Restart processes under an adjustable clock; return its setter."""
    file = t.stack.system.place.state / f"clock-{names[0]}"
    file.write_text("+0\n")
    await _anew(t, dict.fromkeys(names, settings(file)))

    def put(offset: str) -> None:
        # Replaced in one step: half a file would be another time.
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.rename(file)

    return put


async def _own_clock(t: Trial, names: tuple[str, ...]) -> None:
    """Restart processes with the machine's own clock."""
    await _anew(t, {name: {} for name in names})


async def _anew(t: Trial, wanted: dict[str, dict[str, str]]) -> None:
    """Restart processes with these settings in addition to their own."""
    before = t.stack.pids(*wanted).items()
    t.stack.system.settings.update(wanted)
    t.stack.want()
    await t.until(lambda: not before & t.stack.pids(*wanted).items(), "they are new ones", 60)
    await t.ready()


def _logged(t: Trial, name: str) -> float:
    """Return the offset in seconds of a process's last log line from now."""
    for line in reversed(t.stack.log(name).read_text().splitlines()):
        try:
            said = datetime.fromisoformat(json.loads(line)["timestamp"])
        except (ValueError, KeyError, TypeError):
            continue
        return said.timestamp() - time.time()
    return 0.0


def _is_wrong(t: Trial, name: str, seconds: int) -> bool:
    return abs(_logged(t, name) - seconds) < 600


def wrong(names: tuple[str, ...]) -> Callable[[Trial], Awaitable[None]]:
    """Return a scenario with these processes hours ahead, then hours behind, without any effect."""

    async def run(t: Trial) -> None:
        put = await _under_a_clock(t, names)
        try:
            for hours in (HOURS, -HOURS):
                put(f"{hours:+d}h")
                await t.acked(10)
                # The clock has jumped while they ran; at a start in it, each logs the time.
                for name in names:
                    t.stack.kill(name, signal.SIGTERM)
                for name in names:
                    await t.until(partial(_is_wrong, t, name, hours * 3600), f"{name}'s clock", 90)
                    t.stage(f"clock of {name}", f"{_logged(t, name) / 3600:+.1f} h by its log")
                await t.acked(10, 60)
                await t.applied()
                await t.hold(2)
        finally:
            await _own_clock(t, names)
        await t.acked(5)

    return run


async def gateway(t: Trial) -> None:
    """Shift the gateway's clock slightly, then by hours: it serves, then rejects; no session
    revives.
    """
    await t.readers.stop()
    live, over = await open_sessions(t.databases["gateway"], t.load.hot[:2])
    connection = await asyncpg.connect(t.owner_url)
    try:
        await connection.execute(EXPIRED, over.encode())
    finally:
        await connection.close()
    put = await _under_a_clock(t, ("gateway",))
    try:
        for offset in ("+3s", "-3s", f"+{HOURS}h", f"-{HOURS}h", "+0"):
            put(offset)
            await asyncio.sleep(DATE_SECONDS)
            status, shown = await _read(t, live)
            # A recent token is still valid when the clock jumps.
            allowed = {200, 502, 503} if offset.endswith("h") else {200}
            t.expect(status in allowed, f"I12: at {offset} a live session is told {status}")
            ended, _ = await _read(t, over)
            t.expect(ended in {302, 401}, f"I9: at {offset} an ended session is told {ended}")
            t.stage(f"gateway's clock {offset}", f"its answer is of {shown:%H:%M:%S}, {status}")
    finally:
        await _own_clock(t, ("gateway",))
    t.readers.start()
    await t.acked(5)


async def _read(t: Trial, session: str) -> tuple[int, datetime]:
    """Return the status of a read, and the gateway's time."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.get(
            t.stack.browser_url + PATHS["units"],
            headers={"Cookie": f"sessionid={session}"},
            allow_redirects=False,
        ) as answer,
    ):
        return answer.status, parsedate_to_datetime(answer.headers["Date"])


SCENARIOS = [
    Scenario("clocks of the pipe hours wrong", "49", wrong(PIPE)),
    Scenario("clock of the gateway wrong", "49", gateway, may_break=True),
]
