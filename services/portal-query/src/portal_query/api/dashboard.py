"""The page: a customer's three counts as tables that need no script, which a script turns to charts."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from portal_access.token import Identity
from portal_query.api import wording
from portal_query.api.answers import lag_seconds
from portal_query.api.repairs import RepairPages
from portal_query.api.templates import Templates
from portal_query.document import (
    MONTHS,
    STATUS_LIST,
    UNITS,
    State,
    escape_for_script,
)
from portal_query.read_model.documents import Answer, Documents, ReadModelAwayError
from service_runtime.clock import Clock, rfc3339

_STALE_SECONDS: Final = 60


class Dashboard:
    """Renders the page of the customer that asks."""

    def __init__(
        self,
        documents: Documents,
        pages: RepairPages,
        *,
        templates: Templates,
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._documents = documents
        self._pages = pages
        self._templates = templates
        self._clock = clock
        self._zone = zone

    async def show(self, request: Request) -> HTMLResponse:
        """Answer the page; 503 with a page that says so when the figures are not to be had."""
        identity: Identity = request.state.identity
        try:
            units, months, statuses = await self._documents.read_all(
                identity.customer_id, (UNITS, MONTHS, STATUS_LIST)
            )
        except ReadModelAwayError:
            return self._templates.away(request)
        name = await self._pages.name(identity.customer_id)
        values = {"name": name, **self._figures(units, months, statuses)}
        return self._templates.page(request, "dashboard.html", values)

    def _figures(self, units: Answer, months: Answer, statuses: Answer) -> dict[str, object]:
        state, now = units.state, self._clock.now()
        lag = None if state.as_of is None else lag_seconds(state.as_of, now)
        figures = wording.figures_of(units.body, months.body, statuses.body)
        return {
            "figures": figures,
            "sentences": figures.sentences,
            "repair_status_counts": Markup(escape_for_script(statuses.body)),  # noqa: S704
            "state": state,
            "portal_state": self._portal_state(state, now),
            "stale": lag is not None and lag > _STALE_SECONDS,
        }

    def _portal_state(self, state: State, now: datetime) -> dict[str, object]:
        return {
            "refold": state.version.refold,
            "revision": state.version.revision,
            "as_of": None if state.as_of is None else rfc3339(state.as_of),
            "time_zone": str(self._zone),
            "current_month": f"{now.astimezone(self._zone):%Y-%m}",
            "labels": dict(wording.LABELS),
        }


def dashboard_routes(dashboard: Dashboard) -> APIRouter:
    """Return the route of the page."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/dashboard/", dashboard.show, methods=["GET", "HEAD"], response_model=None
    )
    return routes
