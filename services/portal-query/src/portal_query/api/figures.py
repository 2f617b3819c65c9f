"""The figures at the head of the dashboard that none of the three lists holds."""

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_query.api.snapshots import Snapshots, customer_of
from portal_query.document import State
from portal_query.read_model.counts import Connection
from portal_query.read_model.figures import count_units, load_completed
from service_runtime.clock import Clock

#: A unit with this many repairs in one year counts as repaired again.
AGAIN: Final = 2


class Figures:
    """Serves the figures of this month and this year, in the portal's time zone."""

    def __init__(self, snapshots: Snapshots, clock: Clock, zone: ZoneInfo) -> None:
        self._snapshots = snapshots
        self._clock = clock
        self._zone = zone

    async def show(self, request: Request) -> Response:
        """Return the figures, all from one snapshot."""
        customer_id = customer_of(request)
        # The figures depend on the day as well: yesterday's tag must not match today.
        now = self._clock.now().astimezone(self._zone)

        async def show(connection: Connection, _: State) -> object:
            return await load_figures(connection, customer_id, now)

        return await self._snapshots.answer(request, "The figures", show, also=f"{now:%Y-%m}")


async def load_figures(connection: Connection, customer_id: int, now: datetime) -> dict[str, Any]:
    """Return the figures of the month and the year of `now`, a moment in the portal's time zone."""
    month = f"{now:%Y-%m}"
    before = f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"
    completed = await load_completed(connection, customer_id, [month, before])
    again = await count_units(connection, customer_id, year=now.year, at_least=AGAIN)
    return {
        "completed_this_month": {
            "month": month,
            "count": completed[month],
            "month_before": before,
            "count_before": completed[before],
        },
        "units_repaired_again": {"year": now.year, "at_least": AGAIN, "count": again},
    }


def figure_routes(figures: Figures) -> APIRouter:
    """Return the route of the figures."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/api/figures/", figures.show, methods=["GET", "HEAD"], response_model=None
    )
    return routes
