"""Clients that disconnect within a request (row 59), and slow clients (row 60)."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.chaos import measured, offered, operators
from tests.chaos.measured import Measured
from tests.chaos.scenarios import overload
from tests.chaos.scenarios.promises import post
from tests.chaos.targets import COUNTS, targets
from tests.chaos.trial import Scenario, Trial

if TYPE_CHECKING:
    from tests.chaos.load import Command

AT_ONCE = 64
ROUNDS = 50
#: From before the process has read the request to after its response.
LONGEST_STAY_SECONDS = 0.03
SLOW = 32
HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0
BYTE_SECONDS = 0.5
CHECK_SECONDS = 2.0


async def leave(t: Trial) -> None:
    """Close 64 connections within a request, repeatedly: each command happens once or not at all."""
    customer = (await t.load.found_more(1))[0]
    await overload.warm(t)
    before = {name: operators.held(t.stack, name) for name in overload.SERVING}
    rounds = max(3, round(t.lasting(ROUNDS)))
    commands: list[Command] = []
    for _ in range(rounds):
        made = [t.load.record(customer) for _ in range(AT_ONCE // 2)]
        commands += made
        await asyncio.gather(
            *(_send_and_leave(t, "writer", _command_bytes(t, command)) for command in made),
            *(_send_and_leave(t, "portal", _read_bytes(t)) for _ in made),
        )
    t.stage("clients left", f"{rounds * AT_ONCE} times")
    normal = await overload.until_normal(t, time.monotonic())
    t.expect(normal is not None, "I10: not normal after clients have left")
    t.measured.append(Measured("all", f"{rounds} x {AT_ONCE} leave", normal=normal))
    await overload.nothing_leaked(t, before)
    await _each_once(t, commands)


async def _each_once(t: Trial, commands: list[Command]) -> None:
    """Send each command again with its key: it has exactly one effect in the end."""
    found = await t.sql(
        "SELECT source_ref, count(*) FROM writer.repair WHERE source_ref = ANY($1) GROUP BY 1",
        [command.key for command in commands],
    )
    t.evidence.append(f"{len(found)} of {len(commands)} commands had happened")
    for start in range(0, len(commands), 8):
        part = commands[start : start + 8]
        for status, body in await asyncio.gather(*(post(t, command) for command in part)):
            t.expect(status in {200, 201}, f"I2: sent again after its client left: {status} {body}")
    rows = await t.sql(
        "SELECT source_ref, count(*) AS n FROM writer.repair WHERE source_ref = ANY($1) GROUP BY 1",
        [command.key for command in commands],
    )
    twice = [row["source_ref"] for row in rows if row["n"] != 1]
    t.expect(not twice, f"I2: commands that happened twice: {twice[:5]}")
    t.expect(len(rows) == len(commands), f"I1: {len(rows)} repairs of {len(commands)} commands")


async def _send_and_leave(t: Trial, service: str, request: bytes) -> None:
    stay = t.rng.uniform(0, LONGEST_STAY_SECONDS)
    with suppress(OSError):
        _, writer = await asyncio.open_connection(*_address(t, service))
        try:
            writer.write(request[: t.rng.choice((len(request), len(request) - 1))])
            await asyncio.sleep(stay)
        finally:
            writer.transport.abort()


def _address(t: Trial, service: str) -> tuple[str, int]:
    host, _, port = t.stack.description["urls"][service].removeprefix("http://").partition(":")
    return host, int(port)


def _command_bytes(t: Trial, command: Command) -> bytes:
    body = json.dumps(command.body).encode()
    head = (
        f"{command.method} {command.path} HTTP/1.1\r\nHost: writer\r\nAuthorization: Bearer {t.key}\r\n"
        f"Idempotency-Key: {command.key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_bytes(t: Trial, path: str = COUNTS) -> bytes:
    host, port = _address(t, "portal")
    cookie = f"sessionid={t.readers.browsers[0].cookie}"
    return f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n\r\n".encode()


async def slow(t: Trial) -> None:
    """Send headers and bodies by the byte, never read responses: others are served, slow clients
    are disconnected.
    """
    found = {one.name: one for one in targets(t, await t.load.found_more(2))}
    gateway = found["gateway"]
    await overload.warm(t)
    before = {name: operators.held(t.stack, name) for name in overload.SERVING}
    alone = await offered.send(gateway.closed(CHECK_SECONDS))
    clients = [
        asyncio.create_task(_slow_client(t, service, kind))
        for service in ("portal", "writer")
        for kind in ("head", "body")
        for _ in range(SLOW)
    ]
    unread = [asyncio.create_task(_never_reads(t)) for _ in range(SLOW)]
    await asyncio.sleep(1)
    beside = await offered.send(gateway.closed(CHECK_SECONDS))
    t.stage("slow clients", f"{len(clients) + len(unread)} connections")
    done, late = await asyncio.wait(clients, timeout=(BODY_SECONDS + 10) * t.slack)
    ended = [task.result() for task in done]
    for task in (*late, *unread):
        task.cancel()
    await asyncio.gather(*late, *unread, return_exceptions=True)
    t.expect(not late, f"I10: {len(late)} slow clients are never ended")
    for kind, most in (("head", HEAD_SECONDS), ("body", BODY_SECONDS)):
        longest = max((took for one, took in ended if one == kind), default=0.0)
        t.expect(longest < (most + 5) * t.slack, f"I10: a slow {kind} ended after {longest:.0f} s")
        t.evidence.append(f"the slowest {kind} was ended after {longest:.1f} s")
    result = Measured(
        process="gateway",
        load=f"{len(clients) + len(unread)} slow",
        served=beside.served,
        share=beside.served / alone.served if alone.served else None,
        longest_served=beside.served_in.longest,
        reasons=beside.reasons,
        normal=await overload.until_normal(t, time.monotonic()),
    )
    t.measured.append(result)
    t.broken += measured.broken_promises(result, t.slack)
    await overload.nothing_leaked(t, before)


async def _slow_client(t: Trial, service: str, kind: str) -> tuple[str, float]:
    """Send headers or a body by the byte; return the seconds until the connection was closed."""
    began = time.monotonic()
    with suppress(OSError):
        reader, writer = await asyncio.open_connection(*_address(t, service))
        try:
            head = b"POST /v1/repairs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
            writer.write(head + b"Authorization: Bearer " + t.key.encode() + b"\r\n")
            writer.write(b"X-Slow: " if kind == "head" else b"\r\n")
            sending = asyncio.create_task(_by_the_byte(writer))
            try:
                while await reader.read(4096):
                    pass
            finally:
                sending.cancel()
        finally:
            writer.transport.abort()
    return kind, time.monotonic() - began


async def _by_the_byte(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(BYTE_SECONDS)


async def _never_reads(t: Trial) -> None:
    """Send requests on one connection without reading a response."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection(*_address(t, "portal"))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            while not writer.is_closing():
                writer.write(_read_bytes(t))
                await asyncio.sleep(BYTE_SECONDS / 10)
        finally:
            writer.transport.abort()


SCENARIOS = [
    Scenario("clients that leave", "59", leave, may_break=True, direct=True),
    Scenario("slow clients", "60", slow, may_break=True, direct=True),
]
