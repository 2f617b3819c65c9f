"""The operators' port over a real socket: its responses, and its robustness."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from service_runtime.ops import HEART_STOPPED_AFTER_SECONDS, Health, OpsServer
from service_runtime.testing import ManualClock, eventually


class Port:
    """A started server with its clock and health."""

    def __init__(self, **limits: Any) -> None:
        self.clock = ManualClock()
        self.health = Health(self.clock)
        self.server = OpsServer(self.health, "127.0.0.1", 0, **limits)

    async def send(self, request: bytes) -> bytes:
        """Return all bytes received after this request until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(request)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()

    async def get(self, target: str, method: str = "GET") -> tuple[int, str]:
        answer = await self.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    found = Port()
    async with found.server:
        yield found


async def away() -> None:
    raise ConnectionError("Kafka is away")


async def fine() -> None:
    """Return no problem."""


async def test_a_process_is_alive_until_one_of_its_hearts_is_silent(port: Port) -> None:
    assert await port.get("/livez") == (200, "ok\n")
    port.health.beat("loop")
    port.clock.advance(HEART_STOPPED_AFTER_SECONDS + 1)
    assert await port.get("/livez") == (503, "loop: silent\n")


async def test_metrics_count_the_tasks_that_have_not_ended(port: Port) -> None:
    async def tasks() -> int:
        _, text = await port.get("/metrics")
        found = re.search(r"^process_event_loop_tasks (\S+)$", text, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    before = await tasks()
    leaked = [asyncio.create_task(asyncio.Event().wait()) for _ in range(20)]
    during = await tasks()
    for task in leaked:
        task.cancel()
    await asyncio.gather(*leaked, return_exceptions=True)

    assert during >= before + 15  # the server's own tasks come and go
    assert await tasks() <= during - 15


async def test_readiness_names_what_is_wrong_and_on_request_every_part(port: Port) -> None:
    port.health.register("postgres", fine)
    assert await port.get("/readyz") == (200, "ok\n")
    port.health.register("kafka", away)
    assert await port.get("/readyz") == (503, "kafka: Kafka is away\n")
    assert await port.get("/readyz?verbose") == (503, "postgres: ok\nkafka: Kafka is away\n")
    port.health.stopping = True
    assert "process: is stopping" in (await port.get("/readyz"))[1]


async def test_a_check_that_never_answers_is_a_fault_and_not_a_wait(port: Port) -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    port.health.register("redis", for_ever)
    assert await port.get("/readyz") == (503, "redis: TimeoutError\n")


async def test_metrics_are_prometheus_text(port: Port) -> None:
    status, body = await port.get("/metrics")
    assert status == 200
    assert "process_resident_memory_bytes" in body


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/x", 404),
        ("POST", "/livez", 405),
        ("HEAD", "/livez", 200),
    ],
)
async def test_nothing_else_is_there(port: Port, method: str, target: str, status: int) -> None:
    found, body = await port.get(target, method)
    assert found == status
    assert (body == "") == (method == "HEAD")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x00\xa5",
        b"GET\r\n\r\n",
        b"\r\n\r\n",
        b"\xff\xff \xff\r\n\r\n",
        b"GET /livez RTSP/1.0\r\n\r\n",
        b"GET /livez HTTP/2.0\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"x" * 100_000,
    ],
)
async def test_junk_is_dropped_and_the_next_question_is_answered(port: Port, junk: bytes) -> None:
    asking = asyncio.create_task(_ignore_reset(port.send(junk)))
    assert await port.get("/livez") == (200, "ok\n")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nX: "])
async def test_who_sends_no_whole_request_is_closed(sent: bytes) -> None:
    found = Port(seconds=0.1)
    async with found.server:
        assert await found.send(sent) == b""


async def test_connections_are_limited_and_the_next_is_answered_when_one_has_left() -> None:
    found = Port(max_connections=2)
    async with found.server:
        held = [await asyncio.open_connection("127.0.0.1", found.server.port) for _ in range(2)]

        async def is_full() -> bool:
            return found.server._connections == 2

        await eventually(is_full, "two connections are held")
        with suppress(ConnectionError):
            assert await found.send(b"GET /livez HTTP/1.1\r\n\r\n") == b""
        for _, writer in held:
            writer.close()

        async def is_free() -> bool:
            return found.server._connections == 0

        await eventually(is_free, "both have left")
        assert await found.get("/livez") == (200, "ok\n")


async def test_who_never_takes_the_answer_is_cut() -> None:
    found = Port(seconds=0.2)

    async def talks() -> None:
        raise ConnectionError("x" * 20_000_000)

    found.health.register("kafka", talks)
    async with found.server:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.server.port, limit=1_000)
        writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
        assert b"503" in await reader.readline()  # the rest waits in buffers

        async def is_cut() -> bool:
            return found.server._connections == 0

        await eventually(is_cut, "the connection is cut")
        writer.close()


async def _ignore_reset(sending: Coroutine[Any, Any, bytes]) -> None:
    with suppress(ConnectionError):
        await sending
