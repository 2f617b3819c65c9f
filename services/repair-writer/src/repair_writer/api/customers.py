"""Endpoints of customer profiles for internal systems."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_access.scopes import CUSTOMERS_WRITE, REPAIRS_READ
from repair_events.repair import profile_tag
from repair_writer.api.answers import outcome_answer, profile_answer
from repair_writer.api.documentation import (
    CUSTOMER_ID,
    IF_MATCH,
    PROFILE_EXAMPLE,
    json_content,
    operation,
)
from repair_writer.api.problems import problem_of
from repair_writer.api.reading import (
    Dependencies,
    ask_of,
    check_customer,
    check_query,
    customer_id_of,
    internal_caller,
    parse_body,
    read_bytes,
)
from repair_writer.api.views import ProfileView
from repair_writer.bodies import Profile
from repair_writer.commands import put_profile
from repair_writer.store.customers import read_customer
from repair_writer.store.transaction import reading

_PATH = "/v1/customers/{customer_id}"
_CONTENT = json_content(ProfileView, PROFILE_EXAMPLE)
_BODY_EXAMPLE = {
    name: value
    for name, value in PROFILE_EXAMPLE.items()
    if name not in {"customer_id", "revision", "changed_at"}
}


def customer_routes(d: Dependencies) -> APIRouter:
    """Return the routes of /v1/customers/{customer_id}."""
    router = APIRouter()

    @router.put(
        _PATH,
        **operation(
            "Write a customer's profile, whole; it must exist before the first repair",
            answers={200: ("The changed profile", _CONTENT), 201: ("The new profile", _CONTENT)},
            body=Profile,
            body_example=_BODY_EXAMPLE,
            headers=(IF_MATCH, "Idempotency-Key"),
            parameters=(CUSTOMER_ID,),
        ),
    )
    async def put(request: Request) -> Response:
        caller = await internal_caller(d, request, CUSTOMERS_WRITE)
        check_query(request)
        customer_id = customer_id_of(request)
        data = await read_bytes(request)
        body = parse_body(d, request, Profile, data)
        profile = body.to_customer(customer_id)
        ask = ask_of(request, caller, data, occurred_at=body.occurred_at)
        outcome = await put_profile(
            d.pool, ask, customer_id, lambda _: profile, profile_tag, may_make=True
        )
        return outcome_answer(outcome)

    @router.get(
        _PATH,
        **operation(
            "Read a customer's profile",
            answers={200: ("The profile", _CONTENT)},
            refusals=("customer-unknown", "malformed", "invalid"),
            parameters=(CUSTOMER_ID,),
        ),
    )
    async def get(request: Request) -> Response:
        caller = await internal_caller(d, request, REPAIRS_READ)
        check_query(request)
        customer_id = customer_id_of(request)
        check_customer(caller, customer_id)
        async with reading(d.pool) as connection:
            held = await read_customer(connection, customer_id)
        if held is None:
            raise problem_of("customer-unknown", f"There is no customer {customer_id}.")
        return profile_answer(held)

    return router
