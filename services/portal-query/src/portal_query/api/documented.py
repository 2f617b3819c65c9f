"""The counts: the two lists of the portal's document and the status list.

Plain ASGI in front of FastAPI, because most requests end here.
A response is ready bytes; one batch reads those of all requests of the same moment.
The two documented lists keep the document's `{"error": ...}` as their error body.
An error that only our own headers can cause is a problem (RFC 9457).
"""

import time
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from portal_query.api.answers import (
    MIN_REVISION_HEADER,
    REFOLD_HEADER,
    Headers,
    Wanted,
    header,
    is_known,
    not_now,
    not_reached,
    problem_headers,
    state_headers,
    wanted_of,
)
from portal_query.api.live import Revisions
from portal_query.api.visitors import TOKEN_HEADER, Visitors
from portal_query.document import MONTHS, STATUS_LIST, UNITS, dumps
from portal_query.read_model.documents import Answer, Documents, ReadModelAwayError
from repair_events.ids import new_id
from service_runtime.access_log import AccessLog
from service_runtime.clock import Clock
from service_runtime.errors import PROBLEM_MEDIA_TYPE, Problem
from service_runtime.logs import get

_METHODS: Final = ("GET", "HEAD")
_REQUEST_ID: Final = b"x-request-id"
_SERVER_ERROR: Final = {"error": "Server error"}
_AWAY: Final = {"error": "Temporarily unavailable"}


@dataclass(frozen=True, slots=True)
class _List:
    path: str
    view: str
    documented: bool


LISTS: Final = (
    _List("/customer/api/unit-repair-data/", UNITS, documented=True),
    _List("/customer/api/repair-cost-data/", MONTHS, documented=True),
    _List("/customer/api/repair-status-data/", STATUS_LIST, documented=False),
)

_Reply = tuple[int, Headers, bytes]


class CountLists:
    """Serves the lists; every other request goes to the inner app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        visitors: Visitors,
        documents: Documents,
        revisions: Revisions,
        clock: Clock,
        log: AccessLog,
    ) -> None:
        self._app = app
        self._visitors = visitors
        self._documents = documents
        self._revisions = revisions
        self._clock = clock
        self._log = log
        self._lists = {one.path: one for one in LISTS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked = self._lists.get(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method: str = scope["method"]
        request_id = _request_id(scope["headers"])
        status, headers, body = await self._reply(asked, method, scope["headers"], request_id)
        headers.append((_REQUEST_ID, request_id.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
        self._log.note(
            method=method if method in _METHODS else "other",
            route=asked.path,
            status=status,
            seconds=time.perf_counter() - started,
            request_id=request_id,
        )

    async def _reply(self, asked: _List, method: str, headers: Headers, request_id: str) -> _Reply:
        try:
            return await self._list(asked, method, headers)
        except Problem as problem:
            return _problem(problem, request_id)
        except ReadModelAwayError as error:
            get().warning("read model away", request_id=request_id, reason=str(error))
            if asked.documented:
                return _json(503, _AWAY, problem_headers(not_now("The figures", error)))
            return _problem(not_now("The figures", error), request_id)
        except Exception as error:  # noqa: BLE001 - no traceback leaves the service
            get().error("bug", request_id=request_id, exc_info=error)
            if asked.documented:
                return _json(500, _SERVER_ERROR, [])
            return _problem(
                Problem(500, "internal", "Something went wrong on our side"), request_id
            )

    async def _list(self, asked: _List, method: str, headers: Headers) -> _Reply:
        token = revision = refold = known = None
        for name, value in headers:
            if name == TOKEN_HEADER:
                token = value
            elif name == b"if-none-match":
                known = value if known is None else b"%b, %b" % (known, value)
            elif name == MIN_REVISION_HEADER:
                revision = value
            elif name == REFOLD_HEADER:
                refold = value
        identity = self._visitors.identify(token or b"")
        if method not in _METHODS:
            return 405, [(b"allow", b"GET, HEAD"), (b"content-length", b"0")], b""
        answer = await self._answer(identity.customer_id, asked.view, wanted_of(revision, refold))
        out = state_headers(answer.state, self._clock.now())
        if is_known(known, answer.state.tag):
            return 304, out, b""
        out.append((b"content-type", b"application/json"))
        out.append((b"content-length", b"%d" % len(answer.body)))
        return 200, out, answer.body

    async def _answer(self, customer_id: int, view: str, wanted: Wanted | None) -> Answer:
        answer = await self._documents.read(customer_id, view)
        if wanted is None or wanted.reached_by(answer.state.version):
            return answer
        if not await self._revisions.reached(customer_id, wanted):
            raise not_reached(wanted)
        answer = await self._documents.read(customer_id, view)
        if not wanted.reached_by(answer.state.version):
            # Postgres holds the revision; the cached counts are still on their way to Redis.
            answer = await self._documents.read_stored(customer_id, view)
        return answer


def _request_id(headers: Headers) -> str:
    """Return the gateway's id of the request, or a new id when it is missing or malformed."""
    given = header(headers, _REQUEST_ID)
    if given is not None and given.replace(b"-", b"").isalnum() and 8 <= len(given) <= 64:  # noqa: PLR2004
        return given.decode()
    return new_id()


def _json(status: int, value: object, headers: Headers) -> _Reply:
    body = dumps(value)
    headers = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return status, headers, body


def _problem(problem: Problem, request_id: str) -> _Reply:
    body = orjson.dumps(problem.to_body(request_id))
    headers = problem_headers(problem)
    headers += [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return problem.status, headers, body
