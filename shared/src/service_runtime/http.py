"""Common parts of the HTTP APIs: request id, one log line a request, a metric, problem responses.

`RequestLog` is plain ASGI, so it also wraps routes that are dispatched before FastAPI.
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
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_runtime.errors import CLIENT_CLOSED, PROBLEM_MEDIA_TYPE, Problem
from service_runtime.logs import get
from service_runtime.metrics import HTTP_DURATION

REQUEST_ID_HEADER: Final = "X-Request-Id"

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_HEADER_KEY: Final = REQUEST_ID_HEADER.lower().encode()
#: Bounds of a validation response, whatever the size of the request.
_MAX_ERRORS: Final = 100
_MAX_NAME: Final = 200
_TITLES: Final = {
    400: ("malformed", "The request cannot be read"),
    404: ("not-found", "There is nothing here"),
    405: ("method-not-allowed", "This method is not allowed here"),
    413: ("too-large", "The request is too large"),
}


class RequestLog:
    """Middleware that gives each request an id, returns it in a header, logs and measures.

    The id is in `scope["state"]["request_id"]`. A valid id in the request's own header is kept.
    Responses with 5xx are logged as warnings, all others at level info.
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
    """Return the HTTP response of a problem."""
    return Response(
        orjson.dumps(problem.to_body(request_id)),
        status_code=problem.status,
        headers={**problem.headers, "Cache-Control": "no-store"},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def pointer(location: Sequence[Any]) -> str:
    """Return the RFC 6901 pointer to a location in a body."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


def invalid_request(error: RequestValidationError) -> Problem:
    """Return the problem of a request that failed validation: 400, or 422 with the bad fields."""
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
    """Turn every error of the app into a problem+json response without a traceback.

    A client that leaves while its body arrives is no error: its request ends with 499.
    """

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

    async def on_departed(_: Request, error: Exception) -> Response:
        assert isinstance(error, ClientDisconnect)  # noqa: S101
        return Response(status_code=CLIENT_CLOSED)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(ClientDisconnect, on_departed)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    # Not `Exception`: Starlette handles it outside all middleware and raises it again.
    app.add_middleware(_Bugs, handler=on_bug)


class _Bugs:
    """Middleware that turns an unexpected exception into a response, unless one has begun."""

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
                raise  # the response is under way: only closing the connection remains
            await response(scope, receive, send)


def _id_of(request: Request) -> str | None:
    request_id: str | None = request.scope.get("state", {}).get("request_id")
    return request_id
