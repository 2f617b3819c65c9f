"""Errors in the formats of their endpoints."""

from gateway import answers
from gateway.routes import Refusals


def test_overload_is_told_from_absence_on_the_documented_lists_too() -> None:
    busy = answers.OVERLOADED.as_json(Refusals.DOCUMENTED, "id")
    away = answers.AWAY.as_json(Refusals.DOCUMENTED, "id")
    assert busy.body == b'{"error": "Too many requests at once"}'
    assert (b"portal-reason", b"overloaded") in busy.headers
    assert away.body == b'{"error": "Service temporarily unavailable"}'
    assert b"portal-reason" not in dict(away.headers)
    assert b"retry-after" in dict(busy.headers)
    assert b"retry-after" in dict(away.headers)
