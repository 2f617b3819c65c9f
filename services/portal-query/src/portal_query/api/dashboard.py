"""The page: a customer's three counts as tables that need no script, which a script turns to charts.

It is never kept by a browser: it names a person, and it holds the token of the form that signs out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from portal_access.token import Identity
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
from repair_events.status import STATUSES
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
#: What a customer reads for each of the six words.
LABELS: Final[Mapping[str, str]] = {
    "REQUESTED": "Requested",
    "PENDING": "Waiting for you",
    "APPROVED": "Approved",
    "IN_PROGRESS": "In work",
    "COMPLETED": "Completed",
    "DENIED": "Denied",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The three lists of one version, and what the page says at a glance about them."""

    units: list[dict[str, Any]]
    months: list[dict[str, Any]]
    statuses: list[dict[str, Any]]

    @property
    def total(self) -> int:
        """All repairs that have not been removed."""
        return sum(row["count"] for row in self.statuses)

    def count(self, *statuses: str) -> int:
        """Return how many repairs are in these statuses."""
        return sum(row["count"] for row in self.statuses if row["status"] in statuses)


def figures_of(units: bytes, months: bytes, statuses: bytes) -> Figures:
    """Return the figures of three bodies."""
    return Figures(json.loads(units), json.loads(months), json.loads(statuses))


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
    templates.globals["label"] = lambda status: LABELS[status]
    templates.globals["time_zone"] = str(zone)
    templates.filters["clock"] = lambda moment: f"{moment.astimezone(zone):%H:%M:%S}"
    templates.filters["day"] = lambda moment: _day(moment.astimezone(zone))
    templates.filters["month_name"] = _month_name
    templates.filters["number"] = lambda number: f"{number:,}"
    templates.filters["share"] = _share
    templates.filters["json_script"] = _json_script
    return templates


class Dashboard:
    """Renders the page of the customer that asks."""

    def __init__(
        self,
        documents: Documents,
        pages: RepairPages,
        *,
        templates: Environment,
        clock: Clock,
    ) -> None:
        self._documents = documents
        self._pages = pages
        self._clock = clock
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
        state = units.state
        lag = None if state.as_of is None else lag_seconds(state.as_of, self._clock.now())
        return {
            "figures": figures_of(units.body, months.body, statuses.body),
            "repair_status_counts": Markup(escape_for_script(statuses.body)),  # noqa: S704
            "state": state,
            "portal_state": _portal_state(state),
            "stale": state.frozen or (lag is not None and lag > _STALE_SECONDS),
            "statuses": STATUSES,
        }


def dashboard_routes(dashboard: Dashboard) -> APIRouter:
    """Return the route of the page."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/dashboard/", dashboard.show, methods=["GET", "HEAD"], response_model=None
    )
    return routes


def _portal_state(state: State) -> dict[str, object]:
    return {
        "refold": state.version.refold,
        "revision": state.version.revision,
        "as_of": None if state.as_of is None else rfc3339(state.as_of),
        "labels": dict(LABELS),
    }


def _json_script(value: object) -> Markup:
    return Markup(escape_for_script(dumps(value)))  # noqa: S704 - escaped for a script


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _month_name(month: str) -> str:
    return f"{datetime.strptime(month, '%Y-%m'):%B %Y}"  # noqa: DTZ007 - a month has no zone


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.0f} %" if total else ""
