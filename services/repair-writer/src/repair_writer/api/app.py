"""The FastAPI application: routes, problem handlers and middleware around given dependencies."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from repair_writer.api.customers import customer_routes
from repair_writer.api.departed import CancelDeparted
from repair_writer.api.documentation import install_document
from repair_writer.api.importing import import_routes
from repair_writer.api.lists import list_routes
from repair_writer.api.portal import portal_routes
from repair_writer.api.problems import install_writer_handlers, problem_of
from repair_writer.api.reading import Dependencies
from repair_writer.api.repairs import repair_routes
from service_runtime.http import RequestLog, install_problem_handlers


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document. It needs no database."""
    # Handlers use their dependencies only when called, and no handler is called here.
    return create_app(cast("Dependencies", None)).openapi()


def create_app(dependencies: Dependencies, *, trusted_proxies: Sequence[str] = ()) -> FastAPI:
    """Return the writer's API. It opens nothing. The caller closes the dependencies.

    `trusted_proxies` are the addresses and networks whose X-Forwarded-For names the client.
    """
    app = FastAPI(
        title="repair-writer",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # The import comes first: otherwise its path would match as the id of a repair.
    for routes in (import_routes, repair_routes, customer_routes, list_routes, portal_routes):
        app.include_router(routes(dependencies))
    install_writer_handlers(app)
    install_problem_handlers(app)
    install_document(app)
    app.add_api_route("/openapi.json", _document(app, dependencies), include_in_schema=False)
    app.add_middleware(CancelDeparted)
    app.add_middleware(RequestLog)
    if trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted_proxies))
    return app


def _document(app: FastAPI, dependencies: Dependencies) -> Callable[[Request], Awaitable[Response]]:
    async def document(request: Request) -> Response:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or await dependencies.keys.caller_of(key.strip()) is None:
            raise problem_of("unauthorized", "Send an API key: Authorization: Bearer rsw_live_...")
        return Response(json.dumps(app.openapi()), media_type="application/json")

    return document
