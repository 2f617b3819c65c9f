"""One process's clock is hours wrong (row 49): months, ages and sessions are not its clock's business."""

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
# The server puts the date anew into its answers once a second; a token is good for some seconds.
DATE_SECONDS = 1.5
PIPE = ("writer", "relay", "projector-1", "projector-2")
EXPIRED = "UPDATE gateway.session SET expires_at = now() - interval '1 hour' WHERE id_hash = sha256($1::bytea)"


def _library() -> Path:
    """Return the library that lies about the time. Raises NotStagedError where there is none for this machine."""
    if not sys.platform.startswith("linux"):
        raise NotStagedError("a process is given a wrong clock on Linux only")
    import libfaketime

    found = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"
    if not found.exists():
        raise NotStagedError("libfaketime is not built for this machine")
    return found


def settings(file: Path) -> dict[str, str]:
    """Return what gives a process the clock that a file says (`+3h`). Raises NotStagedError."""
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def _under_a_clock(t: Trial, names: tuple[str, ...]) -> Callable[[str], None]:
    """Start processes anew under a clock that can be set; return how."""
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
    """Start processes anew with the machine's own clock."""
    await _anew(t, {name: {} for name in names})


async def _anew(t: Trial, wanted: dict[str, dict[str, str]]) -> None:
    """Start processes anew with these settings besides their own."""
    before = t.stack.pids(*wanted).items()
    t.stack.system.settings.update(wanted)
    t.stack.want()
    await t.until(lambda: not before & t.stack.pids(*wanted).items(), "they are new ones", 60)
    await t.ready()


def _logged(t: Trial, name: str) -> float:
    """Return by how many seconds a process's last line in its log is away from now."""
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
    """Return a scenario in which these processes live hours ahead, then hours behind; nobody notices."""

    async def run(t: Trial) -> None:
        put = await _under_a_clock(t, names)
        try:
            for hours in (HOURS, -HOURS):
                put(f"{hours:+d}h")
                await t.acked(10)
                # Now it has jumped while they ran; a start in it is what each writes down.
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
    """The gateway's is a little wrong, then hours: it serves, then it refuses; no session comes back to life."""
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
            # A token that was made a moment ago is still good when the clock jumps.
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
    """Return the status of a reading, and the time that the gateway takes it to be."""
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
