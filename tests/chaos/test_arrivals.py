"""The load generator: an open loop continues whatever the responses, and counts every request once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from tests.chaos import measured, offered
from tests.chaos.arrivals import Run
from tests.chaos.measured import Measured
from tests.chaos.offered import Offer
from tests.chaos.operators import Held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SERVED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BODY = b'{"type":"x","code":"overloaded"}'
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Run a server with this reply to each request; yield its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def offer(url: str, **more: float) -> dict[str, object]:
    wanted = Offer(url=url, path="/", seconds=0.5, **more)  # type: ignore[arg-type]
    return await Run(asdict(wanted)).measure()


async def test_arrivals_do_not_wait_for_answers() -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with server(silent) as url:
        found = await offer(url, rate=100, connections=64, patience=0.2)

    assert found["offered"] == found["unanswered"]
    assert int(str(found["offered"])) > 8, (
        "each connection has at most one request of a closed loop"
    )


@pytest.mark.parametrize("body", [SERVED, CHUNKED])
async def test_every_arrival_is_served_once(body: bytes) -> None:
    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(body)

    async with server(serve) as url:
        found = await offer(url, rate=100, connections=16)

    assert found["served"] == found["offered"]
    assert (found["broken"], found["unanswered"], found["refused"]) == (0, 0, {})


async def test_a_refusal_is_counted_by_its_reason() -> None:
    async def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(REFUSED)

    async with server(refuse) as url:
        found = await offer(url, rate=100, connections=16)

    assert found["refused"] == {"503 overloaded": found["offered"]}
    assert (found["served"], found["without_retry_after"]) == (0, 0)


async def test_a_closed_connection_is_a_broken_request() -> None:
    async def close(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with server(close) as url:
        found = await offer(url, rate=100, connections=16)

    assert found["broken"] == found["offered"]


async def test_more_than_the_callers_is_not_sent_and_said() -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with server(silent) as url:
        found = await offer(url, rate=100, connections=4, patience=5)

    assert found["offered"] == 4
    assert int(str(found["unsent"])) > 0


async def test_a_closed_loop_keeps_its_connections_busy() -> None:
    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(SERVED)

    async with server(serve) as url:
        found = await offer(url, connections=4)

    assert int(str(found["served"])) > 4
    assert found["unsent"] == 0


async def test_the_load_runs_in_a_process_of_its_own_and_ends_when_told() -> None:
    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(SERVED)
        enough.set()

    enough = asyncio.Event()
    async with server(serve) as url:
        found = await offered.send(Offer(url=url, path="/", connections=2, seconds=600), enough)

    assert found.served > 0
    assert not found.broken


HELD = Held(pid=1, tasks=10, descriptors=30, lent=0, resident=1)


def test_a_process_that_holds_no_more_than_before_has_leaked_nothing() -> None:
    assert measured.leaked("gateway", HELD, HELD) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"pid": 2}, "restarted"),
        ({"lent": 1}, "in use at rest"),
        ({"tasks": 10 + measured.SPARE_TASKS + 1}, "tasks"),
        ({"descriptors": 30 + measured.SPARE_DESCRIPTORS + 1}, "files open"),
    ],
)
def test_each_leak_is_named(change: dict[str, int], word: str) -> None:
    (leak,) = measured.leaked("gateway", HELD, replace(HELD, **change))

    assert word in leak


SOUND = Measured("gateway", "4 x 100/s", share=0.9, normal=1.0, reasons={"503 overloaded": 3})


def test_what_is_promised_holds() -> None:
    assert measured.broken_promises(SOUND, 1.0) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"share": 0.79}, "serves 0.79"),
        ({"reasons": {"503 unavailable": 1}}, "refuses with"),
        ({"longest_refused": 1.1}, "refuses after"),
        ({"normal": None}, "not normal"),
        ({"normal": 5.1}, "not normal"),
        ({"growth": 33 * 2**20}, "grew by 33 MiB"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], word: str) -> None:
    found = Measured(**(asdict(SOUND) | change))

    (broken,) = measured.broken_promises(found, 1.0)

    assert word in broken


def test_throughput_is_compared_on_a_quiet_machine_only() -> None:
    found = replace(SOUND, share=0.1)

    assert measured.broken_promises(found, 5.0) == []
    assert len(measured.broken_promises(found, 1.0)) == 1
