"""The import: lines in; the results go to a spool and are answered after the last byte in.

Answering while the body still arrives would hang clients that send all before they read, and
Starlette's answer would take pieces of the body for itself.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import IO, Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from prometheus_client import Counter
from starlette.background import BackgroundTask

from portal_access.scopes import REPAIRS_WRITE
from repair_writer.api.documentation import operation, query
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
from repair_writer.imports import ImportAsk, Result, import_repairs
from service_runtime.errors import Problem
from service_runtime.logs import get
from service_runtime.metrics import REGISTRY

_MEDIA_TYPES: Final = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
)
_PIECE: Final = 256 * 1024
#: Below this many bytes the results never touch a disk.
_SPOOL_BYTES: Final = 1024 * 1024

LINES = Counter(
    "writer_import_lines",
    "Lines of imports by what became of them.",
    ["outcome"],
    registry=REGISTRY,
)


class _Spool:
    """Results on their way: written once, read once, gone when closed."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
        self.lines = 0
        self.refused = 0

    def write(self, results: list[Result]) -> None:
        """Append results, one a line."""
        self._file.write(b"".join(_encoder.encode(result) + b"\n" for result in results))
        self.lines += len(results)
        for result in results:
            self.refused += result.outcome == "refused"
            LINES.labels(result.outcome).inc()

    async def read(self) -> AsyncIterator[bytes]:
        """Yield everything that was written."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Forget everything."""
        self._file.close()


_encoder = msgspec.json.Encoder()


def import_routes(d: Dependencies) -> APIRouter:
    """Return the route POST /v1/repairs/import."""
    router = APIRouter()
    running = 0

    @router.post("/v1/repairs/import", **_documented())
    async def import_lines(request: Request) -> Response:
        nonlocal running
        caller = await internal_caller(d, request, REPAIRS_WRITE)
        dry_run = _dry_run(request)
        check_media_type(request, accepted=_MEDIA_TYPES)
        if running >= d.imports_at_once:
            raise problem_of("busy", f"{running} imports are running; send it again later.")
        ask = ImportAsk(
            author=author_of(request, caller), bounds=bounds_at(d.clock.now()), dry_run=dry_run
        )
        spool = _Spool()
        running += 1
        try:
            pieces = _pieces(request, d.import_max_bytes)
            async with aclosing(import_repairs(d.pool, ask, pieces)) as chunks:
                async for results in chunks:
                    spool.write(results)
        except BaseException:
            spool.close()
            raise
        finally:
            running -= 1
        get().info("import", lines=spool.lines, refused=spool.refused, client=caller.source)
        return _answer(spool)

    return router


def _answer(spool: _Spool) -> Response:
    return StreamingResponse(
        spool.read(),
        media_type="application/x-ndjson",
        headers={
            "Import-Lines": str(spool.lines),
            "Import-Refused": str(spool.refused),
            "Cache-Control": "no-store",
        },
        background=BackgroundTask(spool.close),
    )


async def _pieces(request: Request, most: int) -> AsyncIterator[bytes]:
    taken = 0
    async for piece in pieces_of(request):
        taken += len(piece)
        if taken > most:
            raise _too_large(most)
        yield piece


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
    )
    documented = operation(
        "Import repairs, one a line, recorded or corrected by source and source_ref",
        answers={200: ("One result a line, in the order of the lines", _ndjson(result))},
        refusals=("malformed", "invalid", "too-large", "media-type", "busy"),
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
