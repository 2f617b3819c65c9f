"""A page asked for again: what was typed into its form, and what the writer said to it.

Only the gateway asks like this, in JSON, with the path and the query of the page.
"""

from typing import Final
from uuid import UUID, uuid4

import msgspec
from fastapi import Request

from service_runtime.errors import Problem

MAX_BYTES: Final = 128 * 1024


class Refusal(msgspec.Struct, frozen=True):
    """The part of a problem (RFC 9457) that a person reads."""

    title: str = ""
    detail: str = ""


class Decided(msgspec.Struct, frozen=True):
    """The part of a decided repair that says how it was decided."""

    status: str


class Result(msgspec.Struct, frozen=True):
    """What became of one of several decisions: the repair with 200, or why it was not taken."""

    repair_id: UUID
    status: int
    repair: Decided | None = None
    problem: Refusal | None = None


class Again(msgspec.Struct, frozen=True):
    """What to show beside the page itself; a page that is asked for plainly has none of it.

    `values` and `errors` are by the names of the form's fields.
    """

    values: dict[str, str | list[str]] = {}
    errors: dict[str, str] = {}
    notice: str | None = None
    results: list[Result] = []

    def typed(self, name: str, otherwise: str = "") -> str:
        """Return what was typed into a field, `otherwise` when the form was not sent."""
        value = self.values.get(name, otherwise)
        return value if isinstance(value, str) else next(iter(value), otherwise)

    def chosen(self, name: str) -> frozenset[str]:
        """Return all values that were sent under a name."""
        value = self.values.get(name, [])
        return frozenset([value] if isinstance(value, str) else value)

    @property
    def idempotency_key(self) -> str:
        """The key of the form on the page: the same one for the same attempt, else a new one."""
        return (not self.results and self.typed("idempotency_key")) or str(uuid4())


_DECODER: Final = msgspec.json.Decoder(Again)


async def again_of(request: Request) -> Again:
    """Return what the gateway sends. Raises Problem (400, 413)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise Problem(413, "too-large", "The request is too large")
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "malformed", "The request cannot be read", str(error)) from error
