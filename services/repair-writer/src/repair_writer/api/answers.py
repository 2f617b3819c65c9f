"""Responses: repairs and profiles as JSON, with their headers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from repair_events.repair import profile_tag
from repair_writer.api.problems import problem_of_refusal
from repair_writer.api.views import (
    DecisionsView,
    DecisionView,
    VisitView,
    portal_repair_view,
    profile_view,
    repair_view,
)
from repair_writer.asking import Outcome, Result
from repair_writer.store.rows import HeldCustomer, HeldRepair
from service_runtime.logs import get

REVISION_HEADER: Final = "Portal-Revision"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
#: Longest pause of a client that reads a response. Then resources are released.
SILENCE_SECONDS: Final = 30
_CREATED: Final = 201
_OK: Final = 200


class ClosingResponse(StreamingResponse):
    """A streaming response that calls `close` whenever its sending ends.

    A client that reads nothing for thirty seconds is treated as disconnected.
    Its resources are then released.
    """

    def __init__(
        self, content: AsyncIterator[bytes], *, close: Callable[[], None], headers: dict[str, str]
    ) -> None:
        self._close = close
        super().__init__(content, media_type="application/x-ndjson", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    await send(message)
            except TimeoutError:
                raise ClientDisconnect from None

        try:
            await super().__call__(scope, receive, send_in_time)
        except ClientDisconnect:
            get().info("answer_abandoned", path=scope["path"])
        finally:
            self._close()


def repair_answer(held: HeldRepair, *, portal: bool = False) -> Response:
    """Return the response for a read repair."""
    view = portal_repair_view(held) if portal else repair_view(held)
    return _answer(_OK, view, held.event_id, held.revision)


def profile_answer(held: HeldCustomer) -> Response:
    """Return the response for a read profile."""
    return _answer(_OK, profile_view(held), profile_tag(held.customer), held.revision)


def outcome_answer(outcome: Outcome, *, portal: bool = False) -> Response:
    """Return the response for a change: 201 if new, otherwise 200, with the state after it."""
    status = _CREATED if outcome.created else _OK
    if outcome.customer is not None:
        held = outcome.customer
        tag, location = profile_tag(held.customer), f"/v1/customers/{held.customer.customer_id}"
        response = _answer(status, profile_view(held), tag, outcome.revision)
    else:
        assert outcome.repair is not None  # noqa: S101 - an outcome has one of the two
        view = portal_repair_view(outcome.repair) if portal else repair_view(outcome.repair)
        response = _answer(status, view, outcome.repair.event_id, outcome.revision)
        repair_id = outcome.repair.repair.repair_id
        location = f"/customer/api/repairs/{repair_id}/" if portal else f"/v1/repairs/{repair_id}"
    if outcome.created:
        response.headers["Location"] = location
    return _marked(response, outcome)


def visit_answer(outcome: Outcome) -> Response:
    """Return the response for a visit request, with its repairs."""
    repairs = [portal_repair_view(held) for held in outcome.visit]
    view = VisitView(batch_id=repairs[0].batch_id, repairs=repairs)
    response = _answer(_CREATED, view, None, outcome.revision)
    if len(repairs) == 1:
        response.headers["Location"] = f"/customer/api/repairs/{repairs[0].repair_id}/"
    return _marked(response, outcome)


def decisions_answer(outcome: Outcome) -> Response:
    """Return the response for many decisions, with one result each."""
    view = DecisionsView(results=[_decision_view(result) for result in outcome.results])
    return _marked(_answer(_OK, view, None, outcome.revision), outcome)


def _decision_view(result: Result) -> DecisionView:
    if result.refusal is None:
        assert result.held is not None  # noqa: S101 - a result has one of the two
        view = portal_repair_view(result.held)
        return DecisionView(repair_id=result.repair_id, status=_OK, repair=view)
    problem = problem_of_refusal(result.refusal, result.standing)
    return DecisionView(
        repair_id=result.repair_id, status=problem.status, problem=problem.to_body()
    )


def _marked(response: Response, outcome: Outcome) -> Response:
    if outcome.replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


def _answer(status: int, view: object, tag: str | None, revision: int) -> Response:
    headers = {REVISION_HEADER: str(revision), "Cache-Control": "private, no-cache"}
    if tag is not None:
        headers["ETag"] = f'"{tag}"'
    return Response(
        msgspec.json.encode(view),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
