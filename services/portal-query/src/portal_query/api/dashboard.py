"""The dashboard: a customer's figures as text and tables; a script adds the charts.

Text and tables need no script.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from portal_query.api import wording
from portal_query.api.answers import lag_seconds
from portal_query.api.figures import load_figures
from portal_query.api.snapshots import Snapshots, customer_of
from portal_query.api.templates import Templates
from portal_query.document import (
    MONTHS,
    STATUS_LIST,
    UNITS,
    VIEWS,
    State,
    escape_for_script,
    nothing_yet,
)
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import load_counts, render_all
from portal_query.read_model.documents import Documents, ReadModelAwayError, in_time
from portal_query.read_model.lists import load_list
from service_runtime.clock import Clock, rfc3339

_STALE_SECONDS: Final = 60
#: A page whose counts are ready stops waiting for the company's name, which is optional.
_BESIDE_SECONDS: Final = 1.0
#: As many units as the chart of a fleet lists; the script requests the same number.
_LATEST: Final = store.PageWanted(sort=store.Sort("changed_at"), limit=8)


@dataclass(frozen=True, slots=True)
class _Found:
    """Content of the page, all of one version; None for content that is unavailable."""

    state: State
    bodies: Mapping[str, bytes]
    name: str | None = None
    figures: Mapping[str, Any] | None = None
    latest: list[store.Row] | None = None


class Dashboard:
    """Renders the page of the calling customer."""

    def __init__(
        self,
        documents: Documents,
        snapshots: Snapshots,
        *,
        templates: Templates,
        clock: Clock,
        zone: ZoneInfo,
    ) -> None:
        self._documents = documents
        self._snapshots = snapshots
        self._templates = templates
        self._clock = clock
        self._zone = zone

    async def show(self, request: Request) -> HTMLResponse:
        """Return the page; 503 with an explanation when the figures are unavailable."""
        try:
            found = await self._find(customer_of(request))
        except ReadModelAwayError as error:
            return await self._templates.away(request, error)
        return await self._templates.page(request, "dashboard.html", self._values(found))

    async def _find(self, customer_id: int) -> _Found:
        """Return the counts as served, together with values that only the tables hold."""
        answers = await self._documents.read_all(customer_id, VIEWS)
        bodies = {view: answer.body for view, answer in zip(VIEWS, answers, strict=True)}
        counted = _Found(answers[0].state, bodies)
        try:
            return await in_time(self._complete(counted, customer_id), _BESIDE_SECONDS)
        except ReadModelAwayError:
            return counted

    async def _complete(self, counted: _Found, customer_id: int) -> _Found:
        async with self._snapshots.connection() as connection:
            state, bodies = await store.load_state(connection, customer_id), counted.bodies
            if state.tag == counted.state.tag:
                state = counted.state
            else:
                # The customer has moved on in between: return the counts of this moment instead.
                counts = await load_counts(connection, [customer_id])
                (document,) = await render_all(counts or [nothing_yet(customer_id)])
                bodies = document.bodies
            profile = await store.load_profile(connection, customer_id)
            return _Found(
                state,
                bodies,
                name=profile["name"] or None if profile else None,
                figures=await load_figures(connection, customer_id, self._now()),
                latest=(await load_list(connection, customer_id, _LATEST)).rows,
            )

    def _values(self, found: _Found) -> dict[str, object]:
        state, now = found.state, self._now()
        lag = None if state.as_of is None else lag_seconds(state.as_of, now)
        counts = wording.Counts.of(
            found.bodies[UNITS], found.bodies[MONTHS], found.bodies[STATUS_LIST], f"{now:%Y-%m}"
        )
        return {
            "name": found.name,
            "counts": counts,
            "figures": found.figures,
            "latest": found.latest,
            "now": now,
            "state": state,
            "stale": lag is not None and lag > _STALE_SECONDS,
            "repair_status_counts": Markup(escape_for_script(found.bodies[STATUS_LIST])),  # noqa: S704
            "portal_state": self._portal_state(found, now),
        }

    def _portal_state(self, found: _Found, now: datetime) -> dict[str, object]:
        state, parts = found.state, {}
        if found.figures is not None and found.latest is not None:
            latest = {"repairs": [_change(row) for row in found.latest]}
            parts = {"figures": found.figures, "latest": latest}
        return {
            "refold": str(state.version.refold),  # a 64-bit integer, read by JSON.parse
            "revision": state.version.revision,
            "as_of": None if state.as_of is None else rfc3339(state.as_of),
            "time_zone": str(self._zone),
            "current_month": f"{now:%Y-%m}",
            "labels": dict(wording.LABELS),
            "parts": parts,
        }

    def _now(self) -> datetime:
        return self._clock.now().astimezone(self._zone)


def dashboard_routes(dashboard: Dashboard) -> APIRouter:
    """Return the route of the page."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/dashboard/", dashboard.show, methods=["GET", "HEAD"], response_model=None
    )
    return routes


def _change(row: store.Row) -> dict[str, object]:
    """Return the fields of a changed repair that the page's script needs, as in the list."""
    names = ("unit_number", "status", "damage_type", "description")
    return {
        "repair_id": str(row["repair_id"]),
        **{name: row[name] for name in names},
        "changed_at": rfc3339(row["changed_at"]),
    }
