"""Errors that are sent to clients, as values: RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

PROBLEM_TYPE: Final = "https://rswindrepair.example/problems/"
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
#: nginx's status for a client that closed its connection; for the log and the metric alone.
CLIENT_CLOSED: Final = 499


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """Error response with an HTTP status and a stable code.

    `errors` names every bad field: `{"pointer": "/cost", "detail": "..."}` (RFC 6901 pointers).
    `extra` adds members beyond the RFC, such as the allowed status transitions.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def to_body(self, request_id: str | None = None) -> dict[str, Any]:
        """Return the members of the JSON object in a stable order."""
        body: dict[str, Any] = {
            "type": PROBLEM_TYPE + self.code,
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        body.update(self.extra)
        if request_id is not None:
            body["request_id"] = request_id
        return body


#: Header with the reason of a 503. The gateway reads it, because it replaces the body of a page.
REASON_HEADER: Final = "Portal-Reason"
OVERLOADED: Final = "overloaded"


class OverloadedError(Exception):
    """Overload of a reachable part: all its connections are in use, or too many calls wait."""


def overloaded(what: str, retry_after_seconds: int = 2) -> Problem:
    """Return the 503 of an overloaded part `what`: nothing was changed."""
    return Problem(
        503,
        OVERLOADED,
        "Too much to do",
        f"{what} has more to do than it can at once. Nothing was changed; please try again.",
        headers={"Retry-After": str(retry_after_seconds), REASON_HEADER: OVERLOADED},
    )


def unavailable(what: str, retry_after_seconds: int = 1) -> Problem:
    """Return the 503 of an unavailable dependency `what`: nothing was changed, a retry may succeed."""
    return Problem(
        503,
        "unavailable",
        "Temporarily unavailable",
        f"{what} cannot be reached just now. Nothing was changed; please try again.",
        headers={"Retry-After": str(retry_after_seconds)},
    )
