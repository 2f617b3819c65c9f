"""All problem codes with status and title, and the conversion of errors to problems."""

from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response

from repair_writer.api.views import portal_repair_view
from repair_writer.asking import RefusedError, Standing
from repair_writer.bodies import BadBodyError
from repair_writer.decisions import changed_fields
from repair_writer.repair import Refusal
from repair_writer.store.transaction import STORE_ERRORS
from service_runtime.errors import Problem, overloaded, unavailable
from service_runtime.http import problem_response
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure, is_not_migrated, is_overload

#: Longest time for a body to arrive; for an import, which may take hours, the longest pause in it.
BODY_SECONDS: Final = 30
#: code -> (status, title, example of a detail). Final unless documented otherwise.
PROBLEMS: Final[dict[str, tuple[int, str, str]]] = {
    "malformed": (400, "The request cannot be read", "This is not JSON: EOF at line 1 column 9."),
    "key-required": (
        400,
        "Idempotency-Key is required",
        "Send an Idempotency-Key: the same key and body again do nothing twice.",
    ),
    "unauthorized": (
        401,
        "No valid credential",
        "Send an API key: Authorization: Bearer rsw_live_...",
    ),
    "scope": (403, "This key may not do that", "The scope repairs:write is needed."),
    "not-found": (404, "There is nothing here", ""),
    "repair-unknown": (404, "No such repair", "There is no repair with this id."),
    "customer-unknown": (
        404,
        "No such customer",
        "There is no customer 1042; make the profile first: PUT /v1/customers/1042.",
    ),
    "illegal-move": (
        409,
        "The status cannot change that way",
        "A repair that is COMPLETED cannot become PENDING.",
    ),
    "already-recorded": (
        409,
        "The repair is recorded already",
        "A repair with this source and source_ref is there already; correct it by its id.",
    ),
    "removed": (
        409,
        "The repair has been removed",
        "This repair has been removed; only a restore brings it back.",
    ),
    "key-running": (
        409,
        "The same request is running",
        "A request with this Idempotency-Key is still running; send it again shortly.",
    ),
    "precondition-failed": (
        412,
        "It has changed meanwhile",
        "It has changed since it was read (If-Match); read it again.",
    ),
    "too-slow": (
        408,
        "The request took too long to arrive",
        f"A body arrives within {BODY_SECONDS} seconds; an import pauses for no longer than that.",
    ),
    "too-large": (413, "The request is too large", "A body has at most 262144 bytes."),
    "media-type": (415, "This kind of body is not accepted", "Send application/json."),
    "invalid": (
        422,
        "Some fields cannot be accepted",
        "Every bad field is named in errors; nothing was changed.",
    ),
    "key-reused": (
        422,
        "The key belongs to another request",
        "This Idempotency-Key was used for another request; take a new one.",
    ),
    "precondition-required": (
        428,
        "If-Match is required",
        "Send If-Match with the ETag of the state that is decided.",
    ),
    "unavailable": (
        503,
        "Temporarily unavailable",
        "Postgres cannot be reached just now. Nothing was changed; please try again.",
    ),
    "overloaded": (
        503,
        "Too much to do",
        "Postgres has more to do than it can at once. Nothing was changed; please try again.",
    ),
}

#: Seconds to wait before a retry, for the codes that permit one.
_RETRY_AFTER: Final = {"key-running": "1", "overloaded": "5", "unavailable": "5"}

NO_TABLES: Final = "The writer's tables are missing; an operator runs `repair-writer migrate`. Nothing was changed."


def problem_of(code: str, detail: str = "", **more: object) -> Problem:
    """Return the problem of a code. `errors` and `extra` are passed on.

    Raises KeyError for an unknown code.
    """
    status, title, _ = PROBLEMS[code]
    headers = {"Retry-After": _RETRY_AFTER[code]} if code in _RETRY_AFTER else {}
    if code == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(status, code, title, detail, headers=headers, **more)  # type: ignore[arg-type]


def problem_of_refusal(refusal: Refusal, standing: Standing | None = None) -> Problem:
    """Return the problem of a refusal. With `standing` it carries the present state."""
    extra: dict[str, object] = {}
    if refusal.allowed is not None:
        extra["allowed"] = list(refusal.allowed)
    if refusal.repair_id is not None:
        extra["repair_id"] = refusal.repair_id
    if standing is None:
        return problem_of(refusal.code, refusal.detail, extra=extra)
    view = portal_repair_view(standing.held)
    etag = f'"{view.event_id}"'
    extra |= {
        "repair": msgspec.structs.asdict(view),
        "etag": etag,
        "revision": view.revision,
        "changed_by": standing.by,
        "changed_at": view.changed_at,
        "changed": [
            {"field": name, "seen": seen, "now": now}
            for name, seen, now in changed_fields(standing)
        ],
    }
    problem = problem_of(refusal.code, refusal.detail, extra=extra)
    problem.headers |= {"ETag": etag, "Portal-Revision": str(view.revision)}
    return problem


def bad_query(name: str, detail: str) -> Problem:
    """Return the problem 422 for an invalid query parameter."""
    return problem_of(
        "invalid",
        "A parameter of the query cannot be accepted.",
        errors=[{"parameter": name, "detail": detail}],
    )


def install_writer_handlers(app: FastAPI) -> None:
    """Install handlers that turn refusals, bad bodies and store errors into problems."""

    def answer(request: Request, problem: Problem) -> Response:
        return problem_response(problem, request.scope.get("state", {}).get("request_id"))

    async def on_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)  # noqa: S101 - registered for it below
        return answer(request, problem_of_refusal(error.refusal, error.standing))

    async def on_bad_body(request: Request, error: Exception) -> Response:
        assert isinstance(error, BadBodyError)  # noqa: S101
        code = "invalid" if error.errors else "malformed"
        return answer(request, problem_of(code, error.detail, errors=error.errors))

    async def on_store(request: Request, error: Exception) -> Response:
        if not is_infrastructure(error):
            raise error
        busy = is_overload(error)
        get().warning("store_busy" if busy else "store_away", error=repr(error)[:500])
        if is_not_migrated(error):
            return answer(request, problem_of("unavailable", NO_TABLES))
        return answer(request, (overloaded if busy else unavailable)("Postgres"))

    app.add_exception_handler(RefusedError, on_refused)
    app.add_exception_handler(BadBodyError, on_bad_body)
    for kind in STORE_ERRORS:
        app.add_exception_handler(kind, on_store)
