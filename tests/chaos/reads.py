"""Readers: browsers with sessions that read through the gateway as the page does, and record the
results.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import aiohttp
from tests.oracle.sessions import open_sessions
from tests.oracle.settle import PATHS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from random import Random

READ_SECONDS = 10.0
#: So many reads a second; beyond that, another reader is added.
READS_OF_ONE = 15.0


@dataclass(frozen=True)
class Read:
    """One response.

    `began` is wall-clock time in seconds since 1970; status 0 is a broken connection, -1 too late.
    """

    session: int
    customer: int
    view: str
    began: float
    took: float
    asked: int
    asked_refold: int | None
    status: int
    revision: int = 0
    refold: int = 0
    as_of: datetime | None = None
    lag: int | None = None
    retry_after: str | None = None
    body: bytes = b""


@dataclass
class Browser:
    """One session, with the highest version that its page has shown."""

    number: int
    customer: int
    cookie: str
    revision: int = 0
    refold: int | None = None

    def see(self, read: Read) -> None:
        """Record the version shown, as the page's script does."""
        if self.refold is None or read.refold > self.refold:
            self.refold, self.revision = read.refold, read.revision
        else:
            self.revision = max(self.revision, read.revision)


class Readers:
    """Readers of one trial. `acked` gives a customer's last acknowledged revision."""

    def __init__(
        self, portal: str, rng: Random, acked: Callable[[int], int], file: Path, rate: float
    ) -> None:
        self.reads: list[Read] = []
        self.browsers: list[Browser] = []
        self._portal = portal
        self._rng = rng
        self._acked = acked
        self._file = file
        self._rate = rate
        self._tasks: list[asyncio.Task[None]] = []
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=READ_SECONDS),
        )

    async def sign_in(self, gateway_database: str, customers: Sequence[int]) -> None:
        """Open two sessions for each customer."""
        wanted = [customer for customer in customers for _ in range(2)]
        for cookie, customer in zip(
            await open_sessions(gateway_database, wanted), wanted, strict=True
        ):
            self.browsers.append(Browser(len(self.browsers), customer, cookie))

    def start(self) -> None:
        """Begin to read; a session belongs to one reader, so its reads are sequential."""
        readers = min(len(self.browsers), max(3, round(self._rate / READS_OF_ONE)))
        for number in range(readers):
            share = self.browsers[number::readers]
            self._tasks.append(asyncio.create_task(self._read_on(share, self._rate / readers)))

    async def stop(self) -> None:
        """End the readers. Raises the exception of a failed one."""
        for task in self._tasks:
            task.cancel()
        for found in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(found, Exception):
                raise found
        self._tasks.clear()

    async def close(self) -> None:
        """End the readers and their connections."""
        await self.stop()
        await self._http.close()

    async def read(self, browser: Browser, view: str, *, own: bool = False) -> Read:
        """Read one list; `own` also waits for the customer's last acknowledged change."""
        asked = max(browser.revision, self._acked(browser.customer) if own else 0)
        headers = {"Cookie": f"sessionid={browser.cookie}", "Portal-Min-Revision": str(asked)}
        if browser.refold is not None:
            headers["Portal-Refold"] = str(browser.refold)
        read = await self._ask(browser, view, asked, headers)
        if read.status == 200:
            browser.see(read)
        self.reads.append(read)
        with self._file.open("a") as file:
            file.write(json.dumps(asdict(read), default=str) + "\n")
        return read

    async def _ask(
        self, browser: Browser, view: str, asked: int, headers: Mapping[str, str]
    ) -> Read:
        began, clock = time.time(), time.monotonic()
        status, body = 0, b""
        found: Mapping[str, str] = {}  # of any case
        try:
            async with self._http.get(
                self._portal + PATHS[view], headers=headers, allow_redirects=False
            ) as answer:
                status, found, body = answer.status, answer.headers, await answer.read()
        except TimeoutError:
            status = -1
        except (aiohttp.ClientError, OSError):
            status = 0
        as_of = found.get("Portal-As-Of")
        return Read(
            session=browser.number,
            customer=browser.customer,
            view=view,
            began=began,
            took=time.monotonic() - clock,
            asked=asked,
            asked_refold=browser.refold,
            status=status,
            revision=int(found.get("Portal-Revision", 0)),
            refold=int(found.get("Portal-Refold", 0)),
            as_of=datetime.fromisoformat(as_of) if as_of else None,
            lag=int(found["Portal-Lag"]) if "Portal-Lag" in found else None,
            retry_after=found.get("Retry-After"),
            body=body,
        )

    async def _read_on(self, browsers: Sequence[Browser], rate: float) -> None:
        while browsers:
            browser = self._rng.choice(browsers)
            await self.read(browser, self._rng.choice(list(PATHS)), own=self._rng.random() < 0.3)
            await asyncio.sleep(self._rng.expovariate(rate))
