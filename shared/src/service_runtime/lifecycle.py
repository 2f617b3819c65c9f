"""Start and stop of a process: one event loop, two signals, thirty seconds to stop."""

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

import uvicorn
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime.headers import TrimmedHeaders
from service_runtime.http_limits import MAX_REQUESTS, HttpLimits, ServerLoad
from service_runtime.http_protocol import HttpProtocol
from service_runtime.logs import get
from service_runtime.ops import Health
from service_runtime.watchdog import STUCK_STATUS, StuckError

GRACE_SECONDS: Final = 30
_CANCEL_AGAIN_SECONDS: Final = 0.5
_BACKLOG: Final = 2_048
_LIMITS: Final = HttpLimits()
#: The gateway opens one connection to a service for each stream of a client.
_FILES_A_CONNECTION: Final = 2
_FILES_OF_THE_PROCESS: Final = 256
#: Time from a new connection to the first bytes of its request, on a busy machine.
_HEARD_OUT_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.01
#: Connections accepted in one turn of the event loop. A turn takes tens of milliseconds under load,
#: and only an accepted connection can be refused.
_ACCEPTS_A_TURN: Final = 16
#: Requests leave few cycles. Python's 700, 10, 10 took 15 % of an overloaded process.
_GC_THRESHOLDS: Final = (10_000, 20, 50)


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main(stop)` on uvloop until it returns; SIGTERM and SIGINT set `stop`.

    A stuck process (StuckError) exits with status 75 and one log line.
    """

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    try:
        uvloop.run(supervised())
    except Exception as error:
        stuck = _stuck_in(error)
        if stuck is None:
            raise
        get().error("process_stuck", reason=str(stuck), exit_status=STUCK_STATUS)
        raise SystemExit(STUCK_STATUS) from None


def _stuck_in(error: BaseException) -> StuckError | None:
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_stuck_in, error.exceptions)), None)
    return error if isinstance(error, StuckError) else None


@asynccontextmanager
async def background(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run jobs beside the block, and cancel them at its end.

    A failed job ends the block with its exception: a process with a dead part must stop.
    So does a job that other code has cancelled, which a task group would ignore.
    """
    ending = False
    async with asyncio.TaskGroup() as group:

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled() and not (ending or any(map(_has_failed, tasks))):
                group.create_task(_fail(f"a background job was cancelled: {task.get_coro()}"))

        tasks = [group.create_task(job) for job in jobs]
        for task in tasks:
            task.add_done_callback(ended)
        try:
            yield
        finally:
            ending = True
            await _end(tasks)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _fail(reason: str) -> None:
    raise RuntimeError(reason)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks repeatedly until they have ended.

    One cancellation can be lost: `wait_for` of Python 3.11, which drivers use, discards one that
    arrives together with the result. A loop that lost it would run without limit.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=_CANCEL_AGAIN_SECONDS)


def listen(host: str, port: int, fd: int | None) -> socket.socket:
    """Return a listening TCP socket: the inherited one of `fd`, or a new one.

    Raises OSError if the address is in use.
    """
    if fd is not None:
        return socket.socket(fileno=fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    return listener


def _accepting_many(listener: socket.socket) -> list[socket.socket]:
    """Return the listener with duplicates: one descriptor for each connection accepted in a turn.

    libuv accepts one connection of a descriptor in each turn of its loop
    (https://github.com/libuv/libuv/pull/3696). Other connections wait in the kernel's queue, outside
    the limits of the process. Their clients leave without a response, and the process then serves
    closed connections. A descriptor without a waiting connection costs one call of accept(2).
    """
    return [listener, *(listener.dup() for _ in range(_ACCEPTS_A_TURN - 1))]


class _Server(uvicorn.Server):
    """Uvicorn server without signal handlers (`run` installs them), with a graceful shutdown."""

    def capture_signals(self) -> Any:
        return nullcontext()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, and wait up to 0.25 s for requests on accepted connections.

        Uvicorn closes at once every connection without a running request. A request in transit on
        it would find the connection reset.
        """
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + _HEARD_OUT_SECONDS
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self.server_state.connections or loop.time() >= until:
                break
        await super().shutdown(sockets)


def _observed(app: ASGIApp, health: Health, load: ServerLoad) -> ASGIApp:
    """Return the app with a count of its responses, and with `Connection: close` during a stop.

    A client that reuses connections would otherwise send its next change over a closing one.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def observe(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                if not begun:
                    begun = True
                    load.answering += 1
                if health.stopping:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        try:
            await app(scope, receive, observe if scope["type"] == "http" else send)
        finally:
            if begun:
                load.answering -= 1

    return answer


def _fit(limits: HttpLimits) -> HttpLimits:
    """Return limits that fit the limit of open files, after raising that as far as permitted.

    Without a free descriptor the server cannot accept, and the application cannot reach its stores.
    """
    wanted = _FILES_A_CONNECTION * limits.max_connections + _FILES_OF_THE_PROCESS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, (soft - _FILES_OF_THE_PROCESS) // _FILES_A_CONNECTION)
    if most >= limits.max_connections:
        return limits
    get().warning("connections_limited_by_open_files", open_files=soft, connections=most)
    return replace(limits, max_connections=most)


async def serve_http(
    app: ASGIApp,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    health: Health,
    before_stop: Callable[[], Awaitable[None]] | None = None,
    max_requests: int = MAX_REQUESTS,
    limits: HttpLimits = _LIMITS,
    refusal_headers: Collection[tuple[bytes, bytes]] = (),
) -> None:
    """Serve `app` until `stop` is set, then finish the requests under way.

    `before_stop` ends open streams, which would otherwise delay the stop. `max_requests` bounds the
    requests whose response has not begun; the excess gets 503 before the application runs.
    `limits` bounds each connection and their number. `refusal_headers` are on the server's own
    responses. Raises RuntimeError if the server does not start.
    """
    load = ServerLoad(_fit(limits), max_requests, refusal_headers)
    config = uvicorn.Config(
        TrimmedHeaders(_observed(app, health, load)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS - 5,
    )
    config.load()
    # Uvicorn calls the class with its own arguments; `load` is bound here.
    config.http_protocol_class = partial(HttpProtocol, load)  # type: ignore[assignment]
    server = _Server(config)

    async def watch() -> None:
        await stop.wait()
        health.stopping = True
        if before_stop is not None:
            await before_stop()

    def leave(_: object) -> None:
        # Also after a failure of the watcher: otherwise no signal could stop the process.
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    watcher.add_done_callback(leave)
    address = listener.getsockname()
    get().info("listening", host=address[0], port=address[1])
    # The objects of the start live as long as the process: scanning them only costs latency.
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.collect()
    gc.freeze()
    try:
        async with background(load.sweep(cast("Any", server.server_state.connections))):
            await server.serve(sockets=_accepting_many(listener))
        if not server.started:
            raise RuntimeError("the HTTP server did not start")
    finally:
        watcher.cancel()
