"""Endpoints of the streams: the events of a customer, all heads, and the progress of the relay."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_access.scopes import HISTORY_READ
from repair_events.moment import moment_of
from repair_writer.api.answers import REVISION_HEADER, ClosingResponse
from repair_writer.api.documentation import CUSTOMER_ID, operation, query
from repair_writer.api.problems import bad_query, problem_of
from repair_writer.api.reading import (
    Dependencies,
    check_customer,
    check_query,
    customer_id_of,
    internal_caller,
    query_number,
)
from repair_writer.fields import MAX_BIGINT
from repair_writer.store.customers import read_customer, read_heads
from repair_writer.store.events import (
    count_refused,
    read_events,
    read_oldest_transaction,
    read_outbox,
)
from repair_writer.store.repairs import read_moment
from repair_writer.store.transaction import Pool, reading
from service_runtime.clock import rfc3339

MAX_HEADS: Final = 1_000
#: Events a statement. At 64 KiB each at most, a page stays below 16 MiB.
_PAGE: Final = 250
_EVENTS = "/v1/customers/{customer_id}/events"
_NUMBER = {"type": "integer", "minimum": 0, "default": 0}


def list_routes(d: Dependencies) -> APIRouter:
    """Return the routes that the projector reads. All need the scope history:read."""
    router = APIRouter()
    _add_events(router, d)
    _add_heads(router, d)
    _add_progress(router, d)
    return router


def _add_events(router: APIRouter, d: Dependencies) -> None:
    example = '{"id":"01970f4e-...","type":"com.rswindrepair.repair.recorded.v1","data":{}}\n'
    content = {"application/x-ndjson": {"schema": {"type": "string"}, "example": example}}

    running = 0

    def end() -> None:
        nonlocal running
        running -= 1

    @router.get(
        _EVENTS,
        **operation(
            "Read a customer's list: one event a line, ascending, the bytes that are sent",
            answers={200: ("The events above `after`", content)},
            refusals=("customer-unknown", "malformed", "invalid", "overloaded"),
            parameters=(CUSTOMER_ID, query("after", "The last revision that is known.", _NUMBER)),
        ),
    )
    async def events(request: Request) -> Response:
        caller = await internal_caller(d, request, HISTORY_READ)
        check_query(request, "after")
        customer_id = customer_id_of(request)
        check_customer(caller, customer_id)
        after = query_number(request, "after", default=0, low=0, high=MAX_BIGINT)
        async with reading(d.pool) as connection:
            held = await read_customer(connection, customer_id)
        if held is None:
            raise problem_of("customer-unknown", f"There is no customer {customer_id}.")
        nonlocal running
        if running >= d.lists_open:
            raise problem_of(
                "overloaded",
                f"{running} lists are being sent, as many as there may be; send it again later.",
            )
        running += 1
        return ClosingResponse(
            _pages(d.pool, customer_id, after, held.revision),
            close=end,
            headers={REVISION_HEADER: str(held.revision), "Cache-Control": "no-store"},
        )


async def _pages(pool: Pool, customer_id: int, after: int, last: int) -> AsyncIterator[bytes]:
    """Yield the stream up to the revision `last`, which the header names.

    Between pages it uses no connection.
    """
    while after < last:
        async with reading(pool) as connection:
            page = await read_events(connection, customer_id, after, min(_PAGE, last - after))
        if not page:
            return
        yield b"".join(payload + b"\n" for _, payload in page)
        after = page[-1][0]


def _add_heads(router: APIRouter, d: Dependencies) -> None:
    example = {
        "heads": [
            {
                "customer_id": 1042,
                "revision": 17,
                "event_id": "01970f4e-7a3d-7b21-9c40-7d0d1f1c0a55",
                "changed_at": "2026-03-01T14:31:07.482913Z",
            }
        ],
        "next_after": None,
    }
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}

    @router.get(
        "/v1/heads",
        **operation(
            "Read where the customers' lists stand, in the order of their ids",
            answers={200: ("Heads; go on with next_after unless it is null", content)},
            refusals=("malformed", "invalid"),
            parameters=(
                query(
                    "changed_since",
                    "Only lists that have grown since this moment.",
                    {"type": "string", "format": "date-time"},
                ),
                query("after", "The last customer of the page before.", _NUMBER),
                query(
                    "limit",
                    "How many at most.",
                    {"type": "integer", "minimum": 1, "maximum": MAX_HEADS, "default": MAX_HEADS},
                ),
            ),
        ),
    )
    async def heads(request: Request) -> Response:
        caller = await internal_caller(d, request, HISTORY_READ)
        if caller.binding.customers is not None:
            raise problem_of(
                "scope",
                "This key is bound to some customers, and heads are those of all. "
                "Use a key that is bound to none.",
            )
        check_query(request, "changed_since", "after", "limit")
        since = _moment(request, "changed_since")
        after = query_number(request, "after", default=0, low=0, high=MAX_BIGINT)
        limit = query_number(request, "limit", default=MAX_HEADS, low=1, high=MAX_HEADS)
        async with reading(d.pool) as connection:
            found = await read_heads(connection, changed_since=since, after=after, limit=limit)
        page = list(found)
        next_after = page[-1]["customer_id"] if len(page) == limit else None
        return _json({"heads": page, "next_after": next_after})


def _add_progress(router: APIRouter, d: Dependencies) -> None:
    example = {"sent_until": "2026-03-01T14:31:07.482913Z", "outbox_rows": 0, "refused_rows": 0}
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}

    @router.get(
        "/v1/progress",
        **operation(
            "Read the time before which every accepted change is on Kafka, or refused by it",
            answers={
                200: (
                    "sent_until, how many events wait (100 000 at most), and how many are refused",
                    content,
                )
            },
            refusals=("malformed",),
        ),
    )
    async def progress(request: Request) -> Response:
        await internal_caller(d, request, HISTORY_READ)
        check_query(request)
        # Four statements, in this order. A change that one of them cannot see, too early or too
        # late, is visible to another.
        async with reading(d.pool) as connection:
            now = await read_moment(connection)
            begun = await read_oldest_transaction(connection)
            oldest, waiting = await read_outbox(connection)
            refused = await count_refused(connection)
        sent_until = min(moment for moment in (now, begun, oldest) if moment is not None)
        return _json(
            {
                "sent_until": rfc3339(sent_until),
                "outbox_rows": waiting,
                "refused_rows": refused,
            }
        )


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return moment_of(text)
    except ValueError as error:
        raise bad_query(name, f"{error}; a + is written %2B") from error


def _json(value: object) -> Response:
    return Response(
        msgspec.json.encode(value),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
