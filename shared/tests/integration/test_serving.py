"""End of an HTTP server: every accepted request gets a response."""

import asyncio
from collections import Counter
from typing import Any

from service_runtime.clock import SystemClock
from service_runtime.lifecycle import listen, serve_http
from service_runtime.ops import Health
from service_runtime.testing import eventually


async def answers(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_who_was_let_in_before_the_end_is_answered() -> None:
    """A listener stays open elsewhere, as in the local start: later clients wait for the next
    process.
    """
    listener, stop = listen("127.0.0.1", 0, None), asyncio.Event()
    host, port = listener.getsockname()
    ours = listener.dup()
    became: Counter[str] = Counter()

    async def visit() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        await asyncio.sleep(0.02)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(3):
                status = await reader.readline()
            became["answered" if b"204" in status else "ended"] += 1
        except ConnectionError:
            became["reset"] += 1
        except TimeoutError:
            became["waits"] += 1
        finally:
            writer.close()

    serving = asyncio.create_task(
        serve_http(answers, listener, stop=stop, health=Health(SystemClock()))
    )
    visits = []

    async def one_more() -> bool:
        visits.append(asyncio.create_task(visit()))
        return serving.done()

    for _ in range(50):
        await one_more()
        await asyncio.sleep(0.002)
    stop.set()
    await eventually(one_more, "the server has ended", every=0.005)
    await asyncio.gather(*visits)
    ours.close()
    assert became["answered"] >= 50
    assert became["waits"]
    assert not became["reset"] + became["ended"], became
