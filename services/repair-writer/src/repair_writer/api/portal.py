"""Endpoints for customers, reachable only through the gateway."""

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from repair_events.repair import Customer, profile_tag
from repair_writer.api.answers import (
    decisions_answer,
    outcome_answer,
    profile_answer,
    visit_answer,
)
from repair_writer.api.documentation import (
    IF_MATCH,
    PORTAL_REPAIR_EXAMPLE,
    PROFILE_EXAMPLE,
    REPAIR_ID,
    json_content,
    operation,
)
from repair_writer.api.problems import PROBLEMS, problem_of
from repair_writer.api.reading import (
    Dependencies,
    ask_of,
    check_query,
    customer_caller,
    parse_body,
    read_bytes,
    repair_id_of,
)
from repair_writer.api.views import (
    DecisionsView,
    PortalRepairView,
    ProfileView,
    VisitView,
    profile_view,
)
from repair_writer.asking import Ask, RefusedError
from repair_writer.callers import Caller
from repair_writer.commands import put_profile
from repair_writer.customer_bodies import (
    CustomersDecision,
    ManyDecisions,
    ProfilePatch,
    Visit,
)
from repair_writer.decisions import Seen, decide_repair, decide_repairs
from repair_writer.repair import ChangeStatus
from repair_writer.store.customers import read_customer
from repair_writer.store.transaction import reading
from repair_writer.visits import request_visit
from service_runtime.clock import rfc3339
from service_runtime.errors import Problem

_DECISION = "/customer/api/repairs/{repair_id}/status/"
_REPAIR = json_content(PortalRepairView, PORTAL_REPAIR_EXAMPLE)
_PROFILE = json_content(ProfileView, PROFILE_EXAMPLE)
_VISIT = json_content(
    VisitView,
    {
        "batch_id": PORTAL_REPAIR_EXAMPLE["batch_id"],
        "repairs": [PORTAL_REPAIR_EXAMPLE | {"status": "REQUESTED", "requested_by": "customer"}],
    },
)
_DECISIONS = json_content(
    DecisionsView,
    {
        "results": [
            {
                "repair_id": PORTAL_REPAIR_EXAMPLE["repair_id"],
                "status": 200,
                "repair": PORTAL_REPAIR_EXAMPLE | {"status": "APPROVED"},
            }
        ]
    },
)


def portal_routes(d: Dependencies) -> APIRouter:
    """Return the routes for customers under /customer/api/."""
    router = APIRouter()
    _add_request(router, d)
    _add_decisions(router, d)
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
            "Ask for a visit to one unit: a repair for each break, all of them or none",
            answers={201: ("The repairs, REQUESTED", _VISIT)},
            refusals=("customer-unknown", "key-required"),
            body=Visit,
            body_example={
                "unit_number": "A123",
                "repair_date": "2026-03-01",
                "customer_notes": "Keys are at the gate.",
                "breaks": [
                    {"damage_type": "star break", "description": "Passenger side"},
                    {"damage_type": "crack", "description": "30 cm from the lower edge"},
                ],
            },
            headers=("Idempotency-Key",),
            portal=True,
        ),
    )
    async def ask_for_visit(request: Request) -> Response:
        caller = customer_caller(d, request)
        check_query(request)
        data = await read_bytes(request)
        body = parse_body(d, request, Visit, data)
        customer_id = _customer_of(caller)
        repairs = body.to_repairs(customer_id, now=rfc3339(d.clock.now()), source=caller.source)
        ask = _keyed(ask_of(request, caller, data))
        return visit_answer(await request_visit(d.pool, ask, customer_id, repairs))


def _keyed(ask: Ask) -> Ask:
    """Return the command context. Raises the problem 400 if it has no idempotency key."""
    if ask.key is None:
        raise problem_of("key-required", PROBLEMS["key-required"][2])
    return ask


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
            # The cost may have changed since: `*` does not name the state that the customer saw.
            raise problem_of(
                "precondition-required",
                "Send If-Match with the ETag of the state that is decided.",
            )
        command = ChangeStatus(status=body.status, reason=body.reason, by_customer=True)
        return outcome_answer(await decide_repair(d.pool, ask, repair_id, command), portal=True)


def _add_decisions(router: APIRouter, d: Dependencies) -> None:
    @router.post(
        "/customer/api/repairs/status/",
        **operation(
            "Approve or deny many repairs, each as it was seen and each on its own",
            answers={200: ("What became of each, in the order sent", _DECISIONS)},
            refusals=("key-required",),
            body=ManyDecisions,
            body_example={
                "status": "APPROVED",
                "repairs": [
                    {
                        "repair_id": PORTAL_REPAIR_EXAMPLE["repair_id"],
                        "etag": f'"{PORTAL_REPAIR_EXAMPLE["event_id"]}"',
                    }
                ],
            },
            headers=("Idempotency-Key",),
            portal=True,
        ),
    )
    async def decide_many(request: Request) -> Response:
        caller = customer_caller(d, request)
        check_query(request)
        data = await read_bytes(request)
        body = parse_body(d, request, ManyDecisions, data)
        ask = _keyed(ask_of(request, caller, data))
        wanted = [Seen(repair_id=one.repair_id, tags=(one.etag,)) for one in body.repairs]
        command = ChangeStatus(status=body.status, reason=body.reason, by_customer=True)
        outcome = await decide_repairs(d.pool, ask, _customer_of(caller), wanted, command)
        return decisions_answer(outcome)


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
            raise problem_of("customer-unknown", "There is no profile of this customer yet.")
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
        try:
            outcome = await put_profile(d.pool, ask, _customer_of(caller), after, profile_tag)
        except RefusedError as error:
            if error.refusal.code != "precondition-failed":
                raise
            raise await _profile_changed(d, _customer_of(caller)) from error
        return outcome_answer(outcome, portal=True)


async def _profile_changed(d: Dependencies, customer_id: int) -> Problem:
    """Return the problem 412 for a profile that changed, with the present profile."""
    async with reading(d.pool) as connection:
        held = await read_customer(connection, customer_id)
    assert held is not None  # noqa: S101 - a customer stays
    etag = f'"{profile_tag(held.customer)}"'
    problem = problem_of(
        "precondition-failed",
        "The profile was changed after you opened it. Your changes are not saved; "
        "please review the present values.",
        extra={"profile": msgspec.structs.asdict(profile_view(held)), "etag": etag},
    )
    problem.headers |= {"ETag": etag, "Portal-Revision": str(held.revision)}
    return problem
