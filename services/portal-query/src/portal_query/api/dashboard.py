"""The page: a customer's three counts as tables that need no script, which a script turns to charts.

It is never kept by a browser: it names a person, and it holds the token of the form that signs out.
"""

from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from portal_access.token import Identity
from portal_query.api import wording
from portal_query.api.answers import lag_seconds
from portal_query.api.repairs import RepairPages
from portal_query.api.static import StaticFiles
from portal_query.document import (
    MONTHS,
    STATUS_LIST,
    UNITS,
    State,
    dumps,
    escape_for_script,
)
from portal_query.read_model.documents import Answer, Documents, ReadModelAwayError
from service_runtime.clock import Clock, rfc3339

#: Only what this page needs, and nothing inline: a name of a unit can never become a script.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TEMPLATES: Final = Path(__file__).parent.parent / "web" / "templates"
_STALE_SECONDS: Final = 60
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Vary": "Cookie",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def page_templates(static: StaticFiles, zone: ZoneInfo) -> Environment:
    """Return the templates, which escape everything and refuse a name that is not given."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["static"] = static.address
    templates.globals["label"] = wording.LABELS.__getitem__
    templates.filters["clock"] = lambda moment: wording.clock(moment.astimezone(zone))
    templates.filters["day"] = lambda moment: wording.day(moment.astimezone(zone))
    templates.filters["month_name"] = wording.month_name
    templates.filters["number"] = lambda number: f"{number:,}"
    templates.filters["share"] = wording.share
    templates.filters["json_script"] = _json_script
    return templates


class Dashboard:
    """Renders the page of the customer that asks."""

    def __init__(
        self,
        documents: Documents,
        pages: RepairPages,
        *,
        static: StaticFiles,
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._documents = documents
        self._pages = pages
        self._clock = clock
        self._zone = zone
        templates = page_templates(static, zone)
        self._page = templates.get_template("dashboard.html")
        self._away = templates.get_template("away.html")

    async def show(self, request: Request) -> HTMLResponse:
        """Answer the page; 503 with a page that says so when the figures are not to be had."""
        identity: Identity = request.state.identity
        visitor = {
            "username": identity.username,
            "csrf_token": request.headers.get("X-Csrf-Token", ""),
            "request_id": request.scope.get("state", {}).get("request_id", ""),
        }
        try:
            units, months, statuses = await self._documents.read_all(
                identity.customer_id, (UNITS, MONTHS, STATUS_LIST)
            )
        except ReadModelAwayError:
            text = self._away.render(**visitor, name=None)
            return HTMLResponse(text, 503, {**_HEADERS, "Retry-After": "5"})
        name = await self._pages.name(identity.customer_id)
        text = self._page.render(**visitor, name=name, **self._figures(units, months, statuses))
        return HTMLResponse(text, headers=_HEADERS)

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


def _json_script(value: object) -> Markup:
    return Markup(escape_for_script(dumps(value)))  # noqa: S704 - escaped for a script
