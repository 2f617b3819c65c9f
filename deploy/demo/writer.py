"""A caller of the writer's public API, as an internal system would write it: nothing but HTTP and an API key."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

BUSY = frozenset({429, 503})
ATTEMPTS = 14
LONGEST_PAUSE_SECONDS = 2.0
LINES_A_PIECE = 400
# Another request with the same key is still at work, or was broken off a moment ago.
STILL_RUNNING = "key-running"


class RefusedError(Exception):
    """The writer refused a command; the message holds its problem document's sentence."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("type", "")).rpartition("/")[2]
        super().__init__(
            f"{status} {problem.get('title', '')}: {problem.get('detail', '')} {problem.get('errors', '')}"
        )


@dataclass(frozen=True)
class Answer:
    """Response of the writer: the status, the customer's revision, and the repair or profile."""

    status: int
    revision: int | None
    body: dict[str, Any]
    etag: str | None


class Writer:
    """The commands of `repair-writer`. Use it as an asynchronous context manager."""

    def __init__(self, url: str, key: str, *, connections: int = 8) -> None:
        self.url = url.rstrip("/")
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"},
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=None, connect=10, sock_read=120),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def put_customer(self, customer_id: int, profile: Mapping[str, str]) -> Answer:
        """Write a customer's profile; the same profile again changes nothing."""
        return await self.call("PUT", f"/v1/customers/{customer_id}", profile)

    async def record(self, repair: Mapping[str, Any], *, key: str | None = None) -> Answer:
        """Record a repair."""
        return await self.call("POST", "/v1/repairs", repair, key=key)

    async def status(
        self, repair_id: str, change: Mapping[str, Any], *, key: str | None = None
    ) -> Answer:
        """Move a repair to another status."""
        return await self.call("POST", f"/v1/repairs/{repair_id}/status", change, key=key)

    async def correct(
        self, repair_id: str, change: Mapping[str, Any], *, key: str | None = None
    ) -> Answer:
        """Correct what a repair says."""
        return await self.call("PATCH", f"/v1/repairs/{repair_id}", change, key=key)

    async def remove(
        self, repair_id: str, change: Mapping[str, Any], *, key: str | None = None
    ) -> Answer:
        """Remove a repair; `change` holds the reason."""
        return await self.call("DELETE", f"/v1/repairs/{repair_id}", change, key=key)

    async def restore(
        self, repair_id: str, change: Mapping[str, Any], *, key: str | None = None
    ) -> Answer:
        """Bring a removed repair back."""
        return await self.call("POST", f"/v1/repairs/{repair_id}/restore", change, key=key)

    async def find(self, source: str, source_ref: str) -> dict[str, Any] | None:
        """Return the repair that the publishing system calls `source_ref`, or None."""
        try:
            answer = await self.call(
                "GET", "/v1/repairs", query={"source": source, "source_ref": source_ref}
            )
        except RefusedError as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return answer.body

    async def import_lines(
        self, lines: Iterable[Mapping[str, Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Send repairs as NDJSON in one request and yield one result a line."""
        headers = {"Content-Type": "application/x-ndjson"}
        async with self._http.post(
            f"{self.url}/v1/repairs/import", data=_pieces(lines), headers=headers
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise RefusedError(answer.status, await _problem(answer))
            async for line in answer.content:
                yield json.loads(line)

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; retry while the writer is unavailable or overloaded. Raises RefusedError.

        A change without an idempotency key is sent once: after a lost response its effect is unknown.
        """
        extra = dict(headers or {}) | ({"Idempotency-Key": key} if key else {})
        repeatable = key is not None or method in {"GET", "PUT"}
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1 or not repeatable
            try:
                return await self._once(method, self.url + path, body, query, extra)
            except RefusedError as refusal:
                if last or not (refusal.status in BUSY or refusal.code == STILL_RUNNING):
                    raise
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                if last:
                    raise
            await asyncio.sleep(min(0.1 * 2**attempt, LONGEST_PAUSE_SECONDS))
        raise AssertionError("unreachable")

    async def _once(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        async with self._http.request(
            method, url, json=body, params=query, headers=headers
        ) as answer:
            return await _read(answer)


async def _pieces(lines: Iterable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    """Yield the lines as NDJSON, some hundred at a time."""
    every = iter(lines)
    while some := list(itertools.islice(every, LINES_A_PIECE)):
        yield b"".join(json.dumps(line).encode() + b"\n" for line in some)


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise RefusedError(answer.status, await _problem(answer))
    text = await answer.text()
    revision = answer.headers.get("Portal-Revision")
    return Answer(
        answer.status,
        int(revision) if revision else None,
        json.loads(text) if text else {},
        answer.headers.get("ETag"),
    )


async def _problem(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    text = await answer.text()
    try:
        problem = json.loads(text)
    except ValueError:
        return {"detail": text[:500]}
    return problem if isinstance(problem, dict) else {"detail": text[:500]}
