"""State of a form that the gateway sends with a repeated page: its input and the writer's reply.

Only the gateway sends this, as JSON, to the path and query of the page.
"""

from typing import Final
from uuid import UUID, uuid4

import msgspec
from fastapi import Request

from service_runtime.errors import Problem

MAX_BYTES: Final = 128 * 1024


class Refusal(msgspec.Struct, frozen=True):
    """The parts of a problem (RFC 9457) that a page shows."""

    title: str = ""
    detail: str = ""


class Decided(msgspec.Struct, frozen=True):
    """The part of a decided repair that names the decision."""

    status: str


class Result(msgspec.Struct, frozen=True):
    """Outcome of one of several decisions: the repair with 200, or a problem."""

    repair_id: UUID
    status: int
    repair: Decided | None = None
    problem: Refusal | None = None


class Again(msgspec.Struct, frozen=True):
    """Additions to the page itself; all are empty when a browser requests the page directly.

    `values` and `errors` are keyed by the names of the form's fields.
    """

    values: dict[str, str | list[str]] = {}
    errors: dict[str, str] = {}
    notice: str | None = None
    results: list[Result] = []

    def typed(self, name: str, otherwise: str = "") -> str:
        """Return the input of a field, `otherwise` when the form was not sent."""
        value = self.values.get(name, otherwise)
        return value if isinstance(value, str) else next(iter(value), otherwise)

    def chosen(self, name: str) -> frozenset[str]:
        """Return all values sent under a name."""
        value = self.values.get(name, [])
        return frozenset([value] if isinstance(value, str) else value)

    @property
    def idempotency_key(self) -> str:
        """Return the key of the form: the same key for the same attempt, else a new one."""
        return (not self.results and self.typed("idempotency_key")) or str(uuid4())


_DECODER: Final = msgspec.json.Decoder(Again)


async def again_of(request: Request) -> Again:
    """Parse the gateway's body. Raises Problem (400, 413)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise Problem(413, "too-large", "The request is too large")
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "malformed", "The request cannot be read", str(error)) from error
