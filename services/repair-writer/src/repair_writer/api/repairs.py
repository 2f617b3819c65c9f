"""Endpoints of repairs for internal systems: record, change, move, remove, restore, read."""

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_access.scopes import REPAIRS_READ, REPAIRS_WRITE
from repair_events.ids import new_id
from repair_writer.api.answers import outcome_answer, repair_answer
from repair_writer.api.documentation import (
    IF_MATCH,
    REPAIR_EXAMPLE,
    REPAIR_ID,
    json_content,
    operation,
    query,
)
from repair_writer.api.problems import bad_query, problem_of
from repair_writer.api.reading import (
    Dependencies,
    ask_of,
    check_customer,
    check_query,
    internal_caller,
    parse_body,
    read_bytes,
    repair_id_of,
)
from repair_writer.api.views import RepairView
from repair_writer.bodies import ChangeBody, Correction, NewRepair, NewStatus, Removal, Restoration
from repair_writer.callers import Caller
from repair_writer.commands import change_repair, record_repair
from repair_writer.store.repairs import find_repair, read_repair
from repair_writer.store.rows import HeldRepair
from repair_writer.store.transaction import reading

_CONTENT = json_content(RepairView, REPAIR_EXAMPLE)
_CHANGED = {200: ("The repair after the change", _CONTENT)}
_ONE = "/v1/repairs/{repair_id}"
_ON_CHANGE = (IF_MATCH, "Idempotency-Key")
_IN_QUERY = ("reason", "occurred_at")
_MAX_REFERENCE = 200
_TEXT = {"type": "string", "minLength": 1, "maxLength": _MAX_REFERENCE}


def repair_routes(d: Dependencies) -> APIRouter:
    """Return the routes under /v1/repairs, without the import."""
    router = APIRouter()
    _add_record(router, d)
    _add_reads(router, d)
    _add_change(
        router, d, "POST", "/v1/repairs/{repair_id}/status", NewStatus,
        summary="Move a repair to another status",
        example={"status": "APPROVED", "reason": "Approved by phone"},
        refusals=("illegal-move", "removed"),
    )  # fmt: skip
    _add_change(
        router, d, "PATCH", _ONE, Correction,
        summary="Correct what a repair says, or move it to another customer (customer_id)",
        example={"cost": "260.00", "reason": "Second chip found"},
        refusals=("removed", "customer-unknown"),
    )  # fmt: skip
    _add_change(
        router, d, "DELETE", _ONE, Removal,
        summary="Remove a repair: it does not count any more, its id and reference stay taken",
        example={"reason": "Recorded twice"},
    )  # fmt: skip
    _add_change(
        router, d, "POST", "/v1/repairs/{repair_id}/restore", Restoration,
        summary="Bring a removed repair back", example={"reason": "It was no duplicate"},
    )  # fmt: skip
    return router


def _add_record(router: APIRouter, d: Dependencies) -> None:
    @router.post(
        "/v1/repairs",
        **operation(
            "Record a repair",
            answers={201: ("The recorded repair", _CONTENT), 200: ("A replayed answer", _CONTENT)},
            refusals=("customer-unknown", "already-recorded", "removed"),
            body=NewRepair,
            body_example={
                "customer_id": 1042,
                "unit_number": "A123",
                "repair_date": "2026-03-01T14:30:00Z",
                "status": "PENDING",
                "damage_type": "star break",
                "cost": "240.00",
                "source_ref": "visit-88123-1",
            },
            headers=("Idempotency-Key",),
        ),
    )
    async def record(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_WRITE)
        check_query(request)
        data = await read_bytes(request)
        body = parse_body(d, request, NewRepair, data)
        ask = ask_of(request, caller, data, occurred_at=body.occurred_at)
        repair = body.to_repair(new_id(), caller.source)
        return outcome_answer(await record_repair(d.pool, ask, repair))


def _add_change(
    router: APIRouter,
    d: Dependencies,
    method: str,
    path: str,
    model: type[ChangeBody],
    *,
    summary: str,
    example: object,
    refusals: tuple[str, ...] = (),
) -> None:
    async def change(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_WRITE)
        repair_id = repair_id_of(request)
        check_query(request, *(_IN_QUERY if method == "DELETE" else ()))
        data = await read_bytes(request) or _query_as_body(request)
        body = parse_body(d, request, model, data)
        ask = ask_of(request, caller, data, occurred_at=body.occurred_at)
        return outcome_answer(await change_repair(d.pool, ask, repair_id, body.command()))

    documented = operation(
        summary,
        answers=_CHANGED,
        refusals=("repair-unknown", *refusals),
        body=model,
        body_example=example,
        headers=_ON_CHANGE,
        parameters=(REPAIR_ID,),
    )
    router.add_api_route(path, change, methods=[method], name=summary, **documented)


def _query_as_body(request: Request) -> bytes:
    """Return the query of a DELETE as JSON. Some clients cannot send a body with DELETE.

    Other methods get an empty object.
    """
    return msgspec.json.encode(dict(request.query_params)) if request.method == "DELETE" else b"{}"


def _add_reads(router: APIRouter, d: Dependencies) -> None:
    @router.get(
        _ONE,
        **operation(
            "Read a repair",
            answers={200: ("The repair", _CONTENT)},
            refusals=("repair-unknown", "malformed"),
            parameters=(REPAIR_ID,),
        ),
    )
    async def read_one(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_READ)
        check_query(request)
        repair_id = repair_id_of(request)
        async with reading(d.pool) as connection:
            held = await read_repair(connection, repair_id)
        return _found(caller, held)

    @router.get(
        "/v1/repairs",
        **operation(
            "Find a repair by the publishing system's own id",
            answers={200: ("The repair", _CONTENT)},
            refusals=("repair-unknown", "malformed", "invalid"),
            parameters=(
                query("source", "Who published it.", _TEXT, required=True),
                query("source_ref", "Its id there.", _TEXT, required=True),
            ),
        ),
    )
    async def find(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_READ)
        check_query(request, "source", "source_ref")
        reference = [_reference(request, name) for name in ("source", "source_ref")]
        async with reading(d.pool) as connection:
            held = await find_repair(connection, *reference)
        return _found(caller, held)


def _reference(request: Request, name: str) -> str:
    text: str | None = request.query_params.get(name)
    if text is None or not 0 < len(text) <= _MAX_REFERENCE or "\0" in text:
        raise bad_query(name, f"must be given, with at most {_MAX_REFERENCE} characters")
    return text


def _found(caller: Caller, held: HeldRepair | None) -> Response:
    if held is None:
        raise problem_of("repair-unknown", "There is no repair with this source and source_ref.")
    check_customer(caller, held.repair.customer_id)
    return repair_answer(held)
