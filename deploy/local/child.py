"""One process under the supervisor: start, restart with backoff, stop with a grace period."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from deploy.local import process_id
from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.local.spec import Spec

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0
# A process that has run this long is in no crash loop.
SOUND_AFTER_SECONDS = 20.0
BACKLOG = 1024


class Child:
    """Supervision of one process. `changed` is called after each change of its state."""

    def __init__(self, spec: Spec, log: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.log = log
        self.changed = changed
        self.state = "starting"
        self.restarts = 0
        self.last_exit: int | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()
        self.listener = _listen(spec.listen_port) if spec.listen_port else None
        self.life = asyncio.create_task(self._live())

    @property
    def pid(self) -> int | None:
        """Return the process id, None while it is down."""
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if running and self.process else None

    def report(self) -> dict[str, Any]:
        """Return the state of the process as a JSON object."""
        pid = self.pid
        return {
            "name": self.spec.name,
            "pid": pid,
            "started": process_id.started(pid) if pid else "",
            "state": self.state,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "ops_port": self.spec.ops_port,
            "log": str(self.log),
        }

    async def _live(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self.stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            self.last_exit = code
            if self.stopping.is_set():
                break
            pause = FIRST_PAUSE_SECONDS if time.monotonic() - began > SOUND_AFTER_SECONDS else pause
            self._move("restarting")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self.restarts += 1
        self._move("stopped")

    async def _run_once(self) -> int:
        try:
            self.process = await self._start()
        except OSError as problem:
            with self.log.open("a") as output:
                output.write(f"could not be started: {problem}\n")
            return 127
        self._move("running")
        return await self.process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        env = {**os.environ, **self.spec.env}
        inherited: tuple[int, ...] = ()
        if self.listener is not None:
            env["LISTEN_FD"] = str(self.listener.fileno())
            inherited = (self.listener.fileno(),)
        # Append mode, so that the file can be truncated while it is written.
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                cwd=self.spec.folder,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                process_group=0,
                **_identity(self.spec.user),
            )
        finally:
            os.close(output)

    def _move(self, state: str) -> None:
        self.state = state
        self.changed()

    async def stop(self) -> None:
        """Send the stop signal, wait for the grace period, then kill the process and its children."""
        self.stopping.set()
        self.state = "stopping"
        self.changed()
        pid = self.pid
        if pid is not None:
            _send(pid, self.spec.stop_signal)
        try:
            await asyncio.wait_for(asyncio.shield(self.life), self.spec.grace_seconds)
        except TimeoutError:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            await self.life
        if self.listener is not None:
            self.listener.close()


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _identity(user: str | None) -> dict[str, Any]:
    return {"user": user, "group": _group_of(user), "extra_groups": []} if user else {}


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - only where there are users to become

    return pwd.getpwnam(user).pw_gid


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen(BACKLOG)
    return listener
