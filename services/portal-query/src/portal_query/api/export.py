"""A list of repairs as a CSV file: exactly the filtered rows, in their order.

A cursor reads a few hundred rows at a time within one snapshot.
The rows go compressed into a temporary file, which is sent once it is complete.
A slow reader therefore holds no snapshot, and memory stays flat.
A failure of Postgres is a clear 503: a response has its length and is always complete.
"""

import asyncio
import csv
import gzip
import io
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import IO, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from portal_query.api.asking import filter_of
from portal_query.api.repairs import asker_of
from portal_query.api.snapshots import Snapshots, customer_of
from portal_query.document import State
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Pool
from portal_query.read_model.lists import every_row
from portal_query.read_model.repairs import PageWanted, Row
from repair_events.text import INVISIBLE
from service_runtime.clock import Clock
from service_runtime.errors import overloaded, unavailable
from service_runtime.postgres import is_infrastructure, is_overload

#: Writing a file occupies a connection and much of the process for a second or two; others wait.
_MADE_AT_ONCE: Final = 2
#: Files waiting, being written or being sent: each occupies disk space until it is sent.
_FILES: Final = 8
_SECONDS: Final = 60.0
_IN_MEMORY: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
_QUICKLY: Final = 1
_PACKED_AT_ONCE: Final = 65_536
_WHAT: Final = "The export"

COLUMNS: Final = (
    "repair_id",
    "unit_number",
    "repair_date",
    "status",
    "damage_type",
    "description",
    "customer_notes",
    "cost",
    "requested_by",
    "changed_at",
)
#: Byte order mark: tells a spreadsheet that the text is UTF-8.
_MARK: Final = "\ufeff"
#: A text that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
_SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# Where a cell can begin: at the start; after a semicolon or a tab, where these separate cells; in a
# new line. A run of skipped characters is read once: the start of a cell is not part of it.
_FORMULA: Final = re.compile(
    rf"\A(?=[\t\r\n])|(?:\A|(?<=[;\t\r\n]))(?=(?:[^\S\t\r\n]|[\x00-\x08\x0e-\x1f\x7f\"{INVISIBLE}])*+[{_SIGNS}])"
)


class Export:
    """Serves files; one instance a process."""

    def __init__(self, pool: Pool, snapshots: Snapshots, clock: Clock, zone: ZoneInfo) -> None:
        self._pool = pool
        self._snapshots = snapshots
        self._clock = clock
        self._zone = zone
        self._making = asyncio.Semaphore(_MADE_AT_ONCE)
        self._files = 0

    async def file(self, request: Request) -> Response:
        """Return a file of all repairs of a list.

        Raises Problem: 400 for invalid parameters, 503 when the file cannot be written now.
        """
        wanted = filter_of(request.query_params.multi_items(), self._zone)
        await self._snapshots.await_revision(request, _WHAT)
        return _Export(partial(self._send, customer_of(request), wanted))

    async def _send(
        self, customer_id: int, wanted: PageWanted, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Write the file and send it; always release its place and its disk space."""
        if self._files >= _FILES:
            raise overloaded(_WHAT, 10)
        self._files += 1
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                state, size = await self._make(file, customer_id, wanted)
                headers = self._headers(state, size)
                response = StreamingResponse(_chunks(file), headers=headers, media_type="text/csv")
                await response(scope, receive, send)
        finally:
            self._files -= 1

    async def _make(
        self, file: IO[bytes], customer_id: int, wanted: PageWanted
    ) -> tuple[State, int]:
        """Write the file in its turn. Raises Problem (503) when that is impossible now."""
        try:
            async with asyncio.timeout(_SECONDS), self._making:
                return await self._write(file, customer_id, wanted)
        except Exception as error:
            if is_overload(error):
                raise overloaded(_WHAT, 10) from error
            if is_infrastructure(error):
                raise unavailable(_WHAT) from error
            raise

    async def _write(
        self, file: IO[bytes], customer_id: int, wanted: PageWanted
    ) -> tuple[State, int]:
        """Write the file; return its state and its length in bytes."""
        text = io.StringIO(newline="")
        lines = csv.writer(text)
        text.write(_MARK)
        lines.writerow(COLUMNS)
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_QUICKLY) as packed:
            async with store.snapshot(self._pool) as connection:
                state = await store.load_state(connection, customer_id)
                async for rows in every_row(connection, customer_id, wanted):
                    for row in rows:
                        lines.writerow(_line(row, self._zone))
                        # Compress little at once: other requests run in between.
                        if text.tell() >= _PACKED_AT_ONCE:
                            _pack(text, packed)
                            await asyncio.sleep(0)
            _pack(text, packed)
            return state, packed.tell()

    def _headers(self, state: State, size: int) -> dict[str, str]:
        day = self._clock.now().astimezone(self._zone).date()
        headers = self._snapshots.headers(state)
        del headers["etag"]  # it names the figures, and no client revalidates a file
        return headers | {
            "cache-control": "private, no-store",
            "content-length": str(size),
            "content-disposition": f'attachment; filename="repairs-{day.isoformat()}.csv"',
        }


def export_routes(export: Export) -> APIRouter:
    """Return the route of the file."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/api/repairs/export.csv",
        export.file,
        methods=["GET", "HEAD"],
        response_model=None,
    )
    return routes


def _pack(text: io.StringIO, packed: gzip.GzipFile) -> None:
    packed.write(text.getvalue().encode())
    text.seek(0)
    text.truncate()


def harmless(text: str) -> str:
    """Prefix an apostrophe to each cell that a spreadsheet would read as a formula.

    A spreadsheet with semicolons as separators splits a text at semicolons, tabs and line breaks.
    Each part is therefore treated as a cell.
    """
    return _FORMULA.sub("'", text)


def _line(row: Row, zone: ZoneInfo) -> Iterator[str]:
    yield str(row["repair_id"])
    yield harmless(row["unit_number"])
    yield row["repair_date"].astimezone(zone).date().isoformat()
    yield row["status"]
    yield harmless(row["damage_type"])
    yield harmless(row["description"])
    yield harmless(row["customer_notes"])
    yield str(row["cost"])
    yield asker_of(row)
    yield row["changed_at"].astimezone(zone).isoformat(timespec="seconds")


class _Export(Response):
    """A response written while it is sent: one task acquires and releases all it needs."""

    def __init__(self, make: ASGIApp) -> None:
        super().__init__()
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file. Raises Problem as long as nothing has been sent."""
        await self._make(scope, receive, send)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    with gzip.GzipFile(fileobj=file, mode="rb") as packed:
        while chunk := packed.read(_CHUNK):
            yield chunk
