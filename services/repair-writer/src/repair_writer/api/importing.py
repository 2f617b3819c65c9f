"""The import endpoint: it spools the results and sends them after the last byte of the body.

A response during the upload would block clients that send everything before they read.
Starlette's response would also consume pieces of the body.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_access.scopes import REPAIRS_WRITE
from repair_writer.api.answers import ClosingResponse
from repair_writer.api.documentation import operation, query
from repair_writer.api.encodings import is_packed, unpacked
from repair_writer.api.import_results import ImportResults, SpoolRoom
from repair_writer.api.problems import bad_query, problem_of
from repair_writer.api.reading import (
    Dependencies,
    author_of,
    check_media_type,
    check_query,
    internal_caller,
    pieces_of,
)
from repair_writer.fields import bounds_at
from repair_writer.imports import ImportAsk, import_repairs
from service_runtime.errors import Problem
from service_runtime.logs import get

_MEDIA_TYPES: Final = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
)


class _Places:
    """A limit on open imports, whether active or idle. One client may have half of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._each = max(1, most // 2)
        self._open: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str) -> Iterator[None]:
        """Hold a place for the length of the block. Raises the problem 503 if none is free."""
        if self._open.total() >= self._most:
            raise _overloaded(f"{self._most} imports are open")
        if self._open[client] >= self._each:
            raise _overloaded(f"{self._each} imports of {client} are open")
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


class _Limits:
    """The limits that all imports share: places, work slots, and room for results."""

    def __init__(self, d: Dependencies) -> None:
        self.places = _Places(d.imports_open)
        self.slots = asyncio.Semaphore(d.imports_at_once)
        self.room = SpoolRoom(d.import_spool_bytes)


def _overloaded(why: str) -> Problem:
    return problem_of(
        "overloaded", f"{why}, as many as there may be. Nothing was read; send it again later."
    )


def import_routes(d: Dependencies) -> APIRouter:
    """Return the route POST /v1/repairs/import."""
    router = APIRouter()

    # Created at the first import: the OpenAPI document is generated without dependencies.
    @cache
    def limits() -> _Limits:
        return _Limits(d)

    @router.post("/v1/repairs/import", **_documented())
    async def import_lines(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_WRITE)
        dry_run = _dry_run(request)
        check_media_type(request, accepted=_MEDIA_TYPES)
        packed = is_packed(request, gzip_is_read=True)
        _check_declared(request, d.import_max_bytes)
        ask = ImportAsk(
            author=author_of(request, caller),
            bounds=bounds_at(d.clock.now()),
            binding=caller.binding,
            dry_run=dry_run,
        )
        with limits().places.taken(caller.actor):
            pieces = _pieces(request, d.import_max_bytes)
            if packed:
                pieces = unpacked(pieces, d.import_max_bytes)
            results = ImportResults(limits().room)
            try:
                async with aclosing(import_repairs(d.pool, ask, pieces, limits().slots)) as chunks:
                    async for chunk in chunks:
                        results.write(chunk)
                results.finish()
            except BaseException:
                results.close()
                raise
        get().info("import", lines=results.lines, refused=results.refused, client=caller.actor)
        return _answer(results)

    return router


def _answer(results: ImportResults) -> Response:
    return ClosingResponse(
        results.read(),
        close=results.close,
        headers={
            "Import-Lines": str(results.lines),
            "Import-Refused": str(results.refused),
            "Cache-Control": "no-store",
        },
    )


async def _pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    taken = 0
    async for piece in pieces_of(request):
        taken += len(piece)
        if taken > most:
            raise _too_large(most)
        yield piece
        # A body that has already arrived must not block the event loop.
        await asyncio.sleep(0)


def _check_declared(request: Request, most: int) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)


def _too_large(most: int) -> Problem:
    return problem_of(
        "too-large",
        f"An import has at most {most} bytes; the lines before that may have been saved. "
        "Send it in parts: lines that are saved already are unchanged.",
    )


def _dry_run(request: Request) -> bool:
    check_query(request, "dry_run")
    text = request.query_params.get("dry_run", "false")
    if text not in {"true", "false"}:
        raise bad_query("dry_run", "must be true or false")
    return text == "true"


_ANSWER: Final = (
    "One result a line, in the order of the lines. After 1 000 refused lines, or 1 MiB of refusals, "
    "further ones are counted: at the end one object a code with `count`, `ranges` of line numbers "
    "(1 000 ranges in all) and `unlisted`, the count of lines in no range"
)


def _documented() -> dict[str, Any]:
    line = (
        '{"customer_id":1042,"unit_number":"A123","repair_date":"2026-03-01T14:30:00Z",'
        '"status":"COMPLETED","cost":"240.00","source":"scheduling","source_ref":"88123"}\n'
    )
    result = (
        '{"line":1,"outcome":"recorded","repair_id":"01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e",'
        '"customer_id":1042,"revision":17}\n'
        '{"line":2,"outcome":"refused","code":"invalid","detail":"Every bad field is named in '
        'errors; nothing was changed.","errors":[{"pointer":"/cost","detail":"must lie between '
        '0 and 9999999999.99 and have at most two decimal places"}]}\n'
        '{"outcome":"refused","code":"malformed","count":65,"ranges":[[1001,1065]],"unlisted":0}\n'
    )
    documented = operation(
        "Import repairs, one a line, recorded or corrected by source and source_ref",
        answers={200: (_ANSWER, _ndjson(result))},
        refusals=("malformed", "invalid", "too-slow", "too-large", "media-type", "overloaded"),
        parameters=(
            query(
                "dry_run",
                "Only say what would become of the lines.",
                {"type": "boolean", "default": False},
            ),
        ),
    )
    documented["openapi_extra"]["requestBody"] = {"required": False, "content": _ndjson(line)}
    return documented


def _ndjson(example: str) -> dict[str, object]:
    return {"application/x-ndjson": {"schema": {"type": "string"}, "example": example}}
