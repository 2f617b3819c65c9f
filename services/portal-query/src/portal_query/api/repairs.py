"""Single repairs for their customer: the list, one repair with its history, and the profile.

Each field for a customer is listed by name; all others stay internal.
"""

from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_query.api.asking import Asked, asked_of, next_of
from portal_query.api.snapshots import Snapshots, customer_of
from portal_query.document import State
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection
from portal_query.read_model.lists import Listed, load_list
from repair_events.repair import Customer, profile_tag
from service_runtime.clock import rfc3339
from service_runtime.errors import Problem

_WHAT: Final = "The list of repairs"


class RepairPages:
    """Serves data from the tables, each response from one snapshot."""

    def __init__(self, snapshots: Snapshots, zone: ZoneInfo) -> None:
        self._snapshots = snapshots
        self._zone = zone

    async def list(self, request: Request) -> Response:
        """Return a page of the list. Raises Problem (400) for invalid parameters."""
        customer_id = customer_of(request)
        asked = asked_of(request.query_params.multi_items(), customer_id, self._zone)

        async def show(connection: Connection, state: State) -> object:
            return _page(
                await load_list(connection, customer_id, asked.page), asked, state, customer_id
            )

        return await self._snapshots.answer(request, _WHAT, show)

    async def one(self, request: Request) -> Response:
        """Return one repair with its history. Raises Problem (404) for one of another customer."""
        customer_id = customer_of(request)
        repair_id = _repair_id(request.path_params["repair_id"])

        async def show(connection: Connection, _: State) -> object:
            row = await store.load_repair(connection, customer_id, repair_id)
            if row is None:
                raise _no_such_repair()
            history = await store.load_history(connection, customer_id, repair_id)
            return {
                **_repair(row),
                "history": [_line(line) for line in history.lines],
                "history_complete": history.complete,
            }

        return await self._snapshots.answer(request, _WHAT, show)

    async def profile(self, request: Request) -> Response:
        """Return the customer's own profile. Raises Problem (404) before its first event."""
        customer_id = customer_of(request)

        async def show(connection: Connection, _: State) -> object:
            profile = await store.load_profile(connection, customer_id)
            if profile is None:
                raise Problem(
                    404,
                    "customer-unknown",
                    "No such customer",
                    "Nothing has been recorded for this customer yet.",
                )
            return {**profile, "etag": f'"{profile_tag(Customer(**profile))}"'}

        return await self._snapshots.answer(request, _WHAT, show)


def repair_routes(pages: RepairPages) -> APIRouter:
    """Return the routes of single repairs."""
    routes = APIRouter()
    for path, endpoint in (
        ("/customer/api/repairs/", pages.list),
        ("/customer/api/repairs/{repair_id}/", pages.one),
        ("/customer/api/profile/", pages.profile),
    ):
        routes.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_model=None)
    return routes


def _repair_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise _no_such_repair() from error


def _no_such_repair() -> Problem:
    return Problem(404, "repair-unknown", "No such repair", "There is no repair with this id.")


def _page(listed: Listed, asked: Asked, state: State, customer_id: int) -> dict[str, object]:
    return {
        "repairs": [_repair(row) for row in listed.rows],
        "count": listed.count,
        "next": next_of(listed, asked, state, customer_id),
        "refold": state.version.refold,
        "revision": state.version.revision,
        "changed_since": asked.seen is not None and asked.seen != state.version,
    }


def _repair(row: store.Row) -> dict[str, object]:
    batch = row["batch_id"]
    return {
        "repair_id": str(row["repair_id"]),
        "unit_number": row["unit_number"],
        "repair_date": _moment(row["repair_date"]),
        "month": row["month"],
        "status": row["status"],
        "description": row["description"],
        "damage_type": row["damage_type"],
        "cost": str(row["cost"]),
        "customer_notes": row["customer_notes"],
        "requested_by": asker_of(row),
        "batch_id": None if batch is None else str(batch),
        "recorded_at": _moment(row["recorded_at"]),
        "changed_at": _moment(row["changed_at"]),
        "revision": row["revision"],
        "etag": f'"{row["event_id"]}"',
    }


def asker_of(row: store.Row) -> str:
    """Return the side that requested a repair, without the company's internal name."""
    return "customer" if row["requested_by"] == "customer" else "company"


def _line(line: store.HistoryLine) -> dict[str, object]:
    return {
        "revision": line.revision,
        "what": line.fact,
        "when": _moment(line.occurred_at),
        "accepted_at": _moment(line.accepted_at),
        "by": line.by,
        "status": line.status,
        "reason": line.reason,
    }


def _moment(moment: datetime) -> str:
    return rfc3339(moment)
