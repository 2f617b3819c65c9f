"""Six kinds of callers of one system, with their responses: the columns of the degradation matrix."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import aiohttp
from deploy.local import once
from deploy.local.layout import venv_command
from redis.asyncio import Redis
from tests.oracle.sessions import open_sessions
from tests.oracle.settle import PATHS, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container
    from pathlib import Path

    from tests.chaos.system import ChaosStack

OK, SAYS_SO, NOBODY = "ok", "says so", "nobody answers"
#: Words of a rejection that names its reason.
WORDS = (
    b"cannot be reached just now",
    b"cannot show this just now",
    b"temporarily unavailable",
    b"too many requests at once",
    b"too much to do",
)
PASSWORD = "a long password of nobody else's"
TOKEN = "m" * 32
CUSTOMER, OTHER = 900_001, 900_002
# Longer than the longest deadline (the gateway responds within ten seconds); the short one is for
# callers that can get no response.
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 12.0, 1.5
COLUMNS = (
    "login",
    "counts",
    "counts that Redis lacks",
    "dashboard",
    "command",
    "customer's command",
)


@dataclass(frozen=True)
class Told:
    """One response; status 0 is a refused or broken connection, -1 no response within the caller's
    patience.
    """

    status: int
    seconds: float
    began: float
    retry_after: str | None = None
    body: bytes = b""
    revision: int = 0
    lag: int | None = None

    @property
    def outcome(self) -> str:
        """Return the outcome in one word."""
        if self.status in {200, 201, 302}:
            return OK
        if self.status == 503:
            return SAYS_SO
        return NOBODY if self.status in {0, -1} else f"status {self.status}"

    @property
    def says_why(self) -> bool:
        """Return whether a rejection names its reason and the time of a retry."""
        words = self.body.lower()
        return bool(int(self.retry_after or 0)) and any(word in words for word in WORDS)


class Callers:
    """One caller for each column. Open it with `async with`; `prepare` once for a system."""

    def __init__(self, stack: ChaosStack, sessions: list[str]) -> None:
        self._stack = stack
        self._sessions = sessions
        self._numbers = itertools.count(1)
        self._run = secrets.token_hex(4)
        #: Revision and time of the last change acknowledged to an internal system.
        self.acked: tuple[int, float] | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=32)
        )
        self._redis = Redis.from_url(self._stack.description["redis"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._redis.aclose()

    async def everybody(self, hopeless: Container[str] = ()) -> dict[str, Told]:
        """Send all requests at once. The `hopeless` callers wait for a short time only."""
        every = (
            self.login, self.counts, self.unknown_counts, self.dashboard, self.command, self.customers_command,
        )  # fmt: skip
        answers = await asyncio.gather(
            *(
                _patiently(ask, SHORT_PATIENCE_SECONDS if column in hopeless else PATIENCE_SECONDS)
                for column, ask in zip(COLUMNS, every, strict=True)
            )
        )
        return dict(zip(COLUMNS, answers, strict=True))

    async def all_well(self) -> bool:
        """Return whether all callers are served."""
        return all(told.outcome == OK for told in (await self.everybody()).values())

    async def login(self) -> Told:
        """Sign in with a name and a password."""
        form = {"username": "harbor", "password": PASSWORD, "csrfmiddlewaretoken": TOKEN}
        return await self._visit("POST", "/accounts/login/", None, data=form)

    async def counts(self) -> Told:
        """Read a recently read list."""
        return await self._visit("GET", PATHS["units"], CUSTOMER)

    async def unknown_counts(self) -> Told:
        """Read a list that Redis lacks."""
        await self._redis.delete(f"portal:{OTHER}")
        return await self._visit("GET", PATHS["units"], OTHER)

    async def dashboard(self) -> Told:
        """Open the page."""
        return await self._visit("GET", "/customer/dashboard/", CUSTOMER)

    async def customers_command(self) -> Told:
        """Request a repair as a customer does."""
        visit = {"unit_number": "TRUCK 07", "breaks": [{"damage_type": "star break"}]}
        return await self._visit("POST", "/customer/api/repairs/", OTHER, json=visit)

    async def command(self) -> Told:
        """Record a repair as an internal system does."""
        return await self.send("POST", "/v1/repairs", self._own(CUSTOMER))

    async def send(self, method: str, path: str, body: dict[str, object]) -> Told:
        """Send a command of an internal system."""
        headers = {
            "Authorization": f"Bearer {self._stack.description['internal_key']}",
            "Idempotency-Key": secrets.token_hex(8),
        }
        told = await self._ask(method, self._stack.publisher_url + path, headers=headers, json=body)
        if told.outcome == OK and body.get("customer_id") == CUSTOMER:
            self.acked = (told.revision, time.time())
        return told

    def _own(self, customer: int) -> dict[str, object]:
        return {
            "customer_id": customer,
            "unit_number": "TRUCK 07",
            "repair_date": "2026-02-11T15:00:00Z",
            "status": "PENDING",
            "source_ref": f"{self._run}-{next(self._numbers)}",
        }

    async def _visit(self, method: str, path: str, customer: int | None, **sent: object) -> Told:
        cookies = {"csrftoken": TOKEN}
        if customer is not None:
            cookies["sessionid"] = self._sessions[customer - CUSTOMER]
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "X-CSRFToken": TOKEN,
            "Origin": self._stack.browser_url,
            "Idempotency-Key": secrets.token_hex(8),
        }
        return await self._ask(method, self._stack.browser_url + path, headers=headers, **sent)

    async def _ask(self, method: str, url: str, **sent: object) -> Told:
        began, clock = time.time(), time.monotonic()
        try:
            async with self._http.request(method, url, allow_redirects=False, **sent) as answer:  # type: ignore[arg-type]
                body, found = await answer.read(), answer.headers
        except (aiohttp.ClientError, OSError):
            return Told(0, time.monotonic() - clock, began)
        return Told(
            answer.status,
            time.monotonic() - clock,
            began,
            retry_after=found.get("Retry-After"),
            body=body,
            revision=int(found.get("Portal-Revision", 0)),
            lag=int(found["Portal-Lag"]) if "Portal-Lag" in found else None,
        )


async def _patiently(ask: Callable[[], Awaitable[Told]], seconds: float) -> Told:
    began = time.time()
    try:
        async with asyncio.timeout(seconds):
            return await ask()
    except TimeoutError:
        return Told(-1, seconds, began)


async def prepare(stack: ChaosStack, folder: Path) -> list[str]:
    """Create two customers with a repair each, a user who can sign in, and a session for each
    customer; return these.
    """
    sessions = await open_sessions(stack.description["postgres"]["gateway"], [CUSTOMER, OTHER])
    await asyncio.to_thread(_add_user, stack, folder)
    async with Callers(stack, sessions) as callers:
        for customer in (CUSTOMER, OTHER):
            await callers.send("PUT", f"/v1/customers/{customer}", {"name": f"Fleet {customer}"})
            await callers.send("POST", "/v1/repairs", callers._own(customer))

        await eventually(callers.all_well, "everybody is served")

        async def dated() -> bool:
            return (await callers.counts()).lag is not None

        await eventually(dated, "figures say how old they are")
    return sessions


def _add_user(stack: ChaosStack, folder: Path) -> None:
    file = folder / "password"
    file.write_text(PASSWORD)
    settings = {"GATEWAY_DATABASE_URL": stack.description["postgres"]["gateway"]}
    argv = [venv_command("gateway"), "users", "add", "harbor", "--customer", str(CUSTOMER)]
    once.run("user", [*argv, "--password-file", str(file)], settings, stack.system.place)
