"""The query API as one ASGI app, built from its dependencies; tests build the same app."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from starlette.types import ASGIApp

from portal_query.api.dashboard import Dashboard, dashboard_routes
from portal_query.api.docs import Documentation, documentation_routes
from portal_query.api.documented import CountLists
from portal_query.api.export import Export, export_routes
from portal_query.api.figures import Figures, figure_routes
from portal_query.api.live import Revisions, Streams, live_routes
from portal_query.api.pages.routes import Sources, page_routes
from portal_query.api.repairs import RepairPages, repair_routes
from portal_query.api.snapshots import Snapshots
from portal_query.api.static import StaticFiles
from portal_query.api.templates import Templates
from portal_query.api.units import UnitPages, unit_routes
from portal_query.api.visitors import GatewayOnly, Visitors
from portal_query.read_model.counts import Pool
from portal_query.read_model.documents import Documents
from portal_query.read_model.redis import DocumentCache
from service_runtime.access_log import AccessLog
from service_runtime.clock import Clock
from service_runtime.http import RequestLog, install_problem_handlers


@dataclass(frozen=True, slots=True)
class Parts:
    """Dependencies of the app."""

    cache: DocumentCache
    documents: Documents
    revisions: Revisions
    pool: Pool
    visitors: Visitors
    clock: Clock
    zone: ZoneInfo
    log: AccessLog
    max_streams: int = 1_000


def create_app(parts: Parts) -> ASGIApp:
    """Return the app. From the outside in: counts, request log, static files, identity, FastAPI."""
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    install_problem_handlers(api)
    static = StaticFiles(GatewayOnly(api, parts.visitors))
    snapshots = Snapshots(parts.pool, revisions=parts.revisions, clock=parts.clock)
    pages = RepairPages(snapshots, parts.zone)
    templates = Templates(static, parts.zone)
    dashboard = Dashboard(
        parts.documents,
        snapshots,
        templates=templates,
        clock=parts.clock,
        zone=parts.zone,
    )
    api.include_router(figure_routes(Figures(snapshots, parts.clock, parts.zone)))
    api.include_router(unit_routes(UnitPages(snapshots)))
    export = Export(parts.pool, snapshots, parts.clock, parts.zone)
    api.include_router(export_routes(export))
    api.include_router(repair_routes(pages))
    api.include_router(dashboard_routes(dashboard))
    sources = Sources(snapshots, parts.documents, parts.revisions, parts.clock, parts.zone)
    api.include_router(page_routes(sources, templates))
    api.include_router(documentation_routes(Documentation(templates)))
    api.include_router(live_routes(Streams(parts.revisions, parts.documents, parts.max_streams)))
    return CountLists(
        RequestLog(static),
        visitors=parts.visitors,
        documents=parts.documents,
        revisions=parts.revisions,
        clock=parts.clock,
        log=parts.log,
    )
