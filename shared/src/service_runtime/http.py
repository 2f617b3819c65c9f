"""What every HTTP API of ours has: a request id, one log line a request, a metric, problems.

`RequestLog` is plain ASGI, so that it also wraps routes that are dispatched before FastAPI.
"""

import re
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
import uuid_utils
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime.errors import PROBLEM_MEDIA_TYPE, Problem
from service_runtime.logs import get
from service_runtime.metrics import HTTP_DURATION

REQUEST_ID_HEADER: Final = "X-Request-Id"

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_HEADER_KEY: Final = REQUEST_ID_HEADER.lower().encode()
#: A request of nothing but faults gets no answer that grows with it.
_MAX_ERRORS: Final = 100
_MAX_NAME: Final = 200
_TITLES: Final = {
    400: ("malformed", "The request cannot be read"),
    404: ("not-found", "There is nothing here"),
    405: ("method-not-allowed", "This method is not allowed here"),
    413: ("too-large", "The request is too large"),
}


class RequestLog:
    """Gives each request an id, answers it in a header, and logs and measures each request.

    The id is in `scope["state"]["request_id"]`; one that came with the request is kept when it
    has the form of one. Debug level logs each request, warnings are logged for 5xx always.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = get()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (_HEADER_KEY, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or scope.get("route_name", "none")
        HTTP_DURATION.labels(scope["method"], route, str(status)).observe(seconds)
        (self._log.warning if status >= 500 else self._log.info)(  # noqa: PLR2004
            "request",
            request_id=request_id,
            method=scope["method"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER_KEY and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return str(uuid_utils.uuid7())


def problem_response(problem: Problem, request_id: str | None = None) -> Response:
    """Return the HTTP answer of a problem."""
    return Response(
        orjson.dumps(problem.to_body(request_id)),
        status_code=problem.status,
        headers={**problem.headers, "Cache-Control": "no-store"},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def pointer(location: Sequence[Any]) -> str:
    """Return the RFC 6901 pointer of a place in a body."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def invalid_request(error: RequestValidationError) -> Problem:
    """Return the problem of a request that FastAPI could not take: 400 or 422, fields named."""
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        where = faults[0].get("ctx", {}).get("error", "it is no JSON")
        return Problem(400, "malformed", _TITLES[400][1], f"The body is not JSON: {where}.")
    errors = []
    for fault in faults[:_MAX_ERRORS]:
        place, *rest = fault["loc"] or ("body",)
        named = (
            {"pointer": pointer(rest)[:_MAX_NAME]}
            if place == "body"
            else {str(place): ".".join(map(str, rest))[:_MAX_NAME]}
        )
        errors.append({**named, "detail": str(fault["msg"]).removeprefix("Value error, ")})
    return Problem(
        422,
        "invalid",
        "Some fields cannot be accepted",
        "Every bad field is named in errors; nothing was changed.",
        errors=errors,
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem+json answer, and none of them a traceback."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 - registered for it below
        return problem_response(error, _id_of(request))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return problem_response(invalid_request(error), _id_of(request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        code, title = _TITLES.get(error.status_code, ("error", "The request failed"))
        problem = Problem(error.status_code, code, title, headers=error.headers)
        return problem_response(problem, _id_of(request))

    async def on_bug(request: Request, error: Exception) -> Response:
        get().error("bug", request_id=_id_of(request), exc_info=error)
        problem = Problem(
            500,
            "internal",
            "Something went wrong on our side",
            "It has been logged under the request id. Nothing was changed.",
        )
        return problem_response(problem, _id_of(request))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    # Not `Exception`: Starlette answers that outside all middleware and raises it again.
    app.add_middleware(_Bugs, handler=on_bug)


class _Bugs:
    """Turns an exception that nobody expected into an answer, if none has begun."""

    def __init__(self, app: ASGIApp, handler: Any) -> None:
        self._app = app
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            response = await self._handler(Request(scope), error)
            if begun:
                raise  # the answer is under way: cutting the connection is all that is left
            await response(scope, receive, send)


def _id_of(request: Request) -> str | None:
    request_id: str | None = request.scope.get("state", {}).get("request_id")
    return request_id
