"""Routes of the pages: GET by a visitor, POST by the gateway with the state of a form.

A page that cannot be read now explains this in words.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from portal_query.api.live import Revisions
from portal_query.api.pages.again import Again, again_of
from portal_query.api.pages.asking_for import RequestForm
from portal_query.api.pages.company import Company
from portal_query.api.pages.filters import LIST_PATH
from portal_query.api.pages.one_repair import OneRepair
from portal_query.api.pages.reading import Reader
from portal_query.api.pages.repair_list import RepairList
from portal_query.api.pages.unit_table import UNITS_PATH, UnitTable
from portal_query.api.snapshots import Snapshots
from portal_query.api.templates import Templates
from portal_query.read_model.documents import Documents, ReadModelAwayError
from service_runtime.clock import Clock

Show = Callable[[Request, Again], Awaitable[HTMLResponse]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Dependencies of the pages."""

    snapshots: Snapshots
    documents: Documents
    revisions: Revisions
    clock: Clock
    zone: ZoneInfo


def page_routes(sources: Sources, templates: Templates) -> APIRouter:
    """Return the routes of the pages; the more specific path comes first."""
    reader, zone = Reader(sources.snapshots, sources.revisions, sources.clock), sources.zone
    request_form = RequestForm(sources.documents, templates, clock=sources.clock, zone=zone)
    routes = APIRouter()
    for path, show in (
        (LIST_PATH, RepairList(reader, templates, zone).show),
        (f"{LIST_PATH}new/", request_form.show),
        (f"{LIST_PATH}{{repair_id}}/", OneRepair(reader, templates, zone).show),
        (UNITS_PATH, UnitTable(reader, templates, sources.clock, zone).show),
        ("/customer/profile/", Company(reader, templates, zone).show),
    ):
        _add(routes, path, show, templates)
    return routes


def _add(routes: APIRouter, path: str, show: Show, templates: Templates) -> None:
    async def answer(request: Request) -> HTMLResponse:
        again = await again_of(request) if request.method == "POST" else Again()
        try:
            return await show(request, again)
        except ReadModelAwayError as error:
            return await templates.away(request, error)

    routes.add_api_route(path, answer, methods=["GET", "HEAD", "POST"], response_model=None)
