"""An application on a real socket, served as the process serves it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from gateway.streams import Streams
from service_runtime import lifecycle
from service_runtime.ops import Health


@asynccontextmanager
async def served(app: ASGIApp, streams: Streams) -> AsyncIterator[str]:
    """Serve the application on a free port of the loopback; yield its address."""
    listener = lifecycle.listen("127.0.0.1", 0, None)
    stop = asyncio.Event()
    server = asyncio.create_task(
        lifecycle.serve_http(app, listener, stop=stop, health=Health(), before_stop=streams.close)
    )
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        await server
