"""What a customer may change, reached through the gateway alone; what it sees is listed field by field."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from repair_events.ids import new_id
from repair_events.repair import Customer, Repair
from repair_writer.api.answers import (
    PortalRepairView,
    ProfileView,
    outcome_answer,
    profile_answer,
    profile_tag,
)
from repair_writer.api.documentation import (
    IF_MATCH,
    PORTAL_REPAIR_EXAMPLE,
    PROFILE_EXAMPLE,
    REPAIR_ID,
    json_content,
    operation,
)
from repair_writer.api.problems import problem_of
from repair_writer.api.reading import (
    Dependencies,
    ask_of,
    check_query,
    customer_caller,
    parse_body,
    read_bytes,
    repair_id_of,
)
from repair_writer.bodies import AskedRepair, CustomersDecision, ProfilePatch
from repair_writer.callers import Caller
from repair_writer.commands import change_repair, put_profile, record_repair
from repair_writer.repair import ChangeStatus
from repair_writer.store.customers import read_customer
from repair_writer.store.transaction import reading
from service_runtime.clock import rfc3339

_DECISION = "/customer/api/repairs/{repair_id}/status/"
_REPAIR = json_content(PortalRepairView, PORTAL_REPAIR_EXAMPLE)
_PROFILE = json_content(ProfileView, PROFILE_EXAMPLE)


def portal_routes(d: Dependencies) -> APIRouter:
    """Return the customer-shaped routes under /customer/api/."""
    router = APIRouter()
    _add_request(router, d)
    _add_decision(router, d)
    _add_profile(router, d)
    return router


def _customer_of(caller: Caller) -> int:
    assert caller.customer_id is not None  # noqa: S101 - the token names one
    return caller.customer_id


def _add_request(router: APIRouter, d: Dependencies) -> None:
    @router.post(
        "/customer/api/repairs/",
        **operation(
            "Ask for a repair",
            answers={201: ("The repair, REQUESTED", _REPAIR), 200: ("A replayed answer", _REPAIR)},
            refusals=("customer-unknown",),
            body=AskedRepair,
            body_example={"unit_number": "A123", "description": "Star break, passenger side"},
            headers=("Idempotency-Key",),
            portal=True,
        ),
    )
    async def ask_for_repair(request: Request) -> Response:
        caller = customer_caller(d, request)
        check_query(request)
        data = await read_bytes(request)
        body = parse_body(d, request, AskedRepair, data)
        repair = Repair(
            repair_id=new_id(),
            customer_id=_customer_of(caller),
            unit_number=body.unit_number,
            repair_date=body.repair_date or rfc3339(d.clock.now()),
            status="REQUESTED",
            description=body.description,
            damage_type=body.damage_type,
            customer_notes=body.customer_notes,
            requested_by="customer",
            source=caller.source,
        )
        outcome = await record_repair(d.pool, ask_of(request, caller, data), repair)
        return outcome_answer(outcome, portal=True)


def _add_decision(router: APIRouter, d: Dependencies) -> None:
    @router.post(
        _DECISION,
        **operation(
            "Approve or deny a repair that is PENDING, as it was seen",
            answers={200: ("The decided repair", _REPAIR)},
            refusals=("repair-unknown", "illegal-move", "precondition-required"),
            body=CustomersDecision,
            body_example={"status": "APPROVED"},
            headers=(IF_MATCH, "Idempotency-Key"),
            parameters=(REPAIR_ID,),
            portal=True,
        ),
    )
    async def decide(request: Request) -> Response:
        caller = customer_caller(d, request)
        check_query(request)
        repair_id = repair_id_of(request)
        data = await read_bytes(request)
        body = parse_body(d, request, CustomersDecision, data)
        ask = ask_of(request, caller, data)
        if ask.expected is None or "*" in ask.expected:
            # The cost may have changed since: any state is not what the customer saw.
            raise problem_of(
                "precondition-required",
                "Say which state of the repair is decided: If-Match with its ETag.",
            )
        command = ChangeStatus(status=body.status, reason=body.reason, by_customer=True)
        return outcome_answer(await change_repair(d.pool, ask, repair_id, command), portal=True)


def _add_profile(router: APIRouter, d: Dependencies) -> None:
    @router.get(
        "/customer/api/profile/",
        **operation(
            "Read the own profile",
            answers={200: ("The profile", _PROFILE)},
            refusals=("customer-unknown", "malformed"),
            portal=True,
        ),
    )
    async def read_profile(request: Request) -> Response:
        customer_id = _customer_of(customer_caller(d, request))
        check_query(request)
        async with reading(d.pool) as connection:
            held = await read_customer(connection, customer_id)
        if held is None:
            raise problem_of("customer-unknown", "There is no profile yet.")
        return profile_answer(held)

    @router.patch(
        "/customer/api/profile/",
        **operation(
            "Change how the own company is reached",
            answers={200: ("The changed profile", _PROFILE)},
            refusals=("customer-unknown",),
            body=ProfilePatch,
            body_example={"phone": "+1 608 555 0117"},
            headers=(IF_MATCH, "Idempotency-Key"),
            portal=True,
        ),
    )
    async def change_profile(request: Request) -> Response:
        caller = customer_caller(d, request)
        check_query(request)
        data = await read_bytes(request)
        changed = parse_body(d, request, ProfilePatch, data).changes()

        def after(customer: Customer | None) -> Customer:
            assert customer is not None  # noqa: S101 - a customer makes no profile
            return changed(customer)

        ask = ask_of(request, caller, data)
        outcome = await put_profile(d.pool, ask, _customer_of(caller), after, profile_tag)
        return outcome_answer(outcome, portal=True)
