"""Frame of every page: the templates, the headers and the visitor's context.

Pages are `no-store`: a page names a person and holds the token of its forms.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.types import Receive, Scope, Send

from portal_access.token import Identity
from portal_query.api import wording
from portal_query.api.answers import not_now
from portal_query.api.static import StaticFiles
from portal_query.document import dumps, escape_for_script
from portal_query.read_model.documents import ReadModelAwayError
from service_runtime.headers import PAGE_SECURITY

#: Parts of a template rendered at once: about a millisecond of work.
_PARTS_AT_ONCE: Final = 100
_TEMPLATES: Final = Path(__file__).parent.parent / "web" / "templates"
_HEADERS: Final = {"Cache-Control": "no-store", "Vary": "Cookie", **PAGE_SECURITY}


class Templates:
    """Renders a template as the page of the calling visitor."""

    def __init__(self, static: StaticFiles, zone: ZoneInfo) -> None:
        self._environment = _environment(static, zone)
        # Compiled before the first request.
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    async def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, object],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """Return the page. A template receives `values` and the values of `_visitor`.

        A long page is rendered in parts, with other requests in between.
        """
        rendering = self._environment.get_template(template)
        texts = rendering.generate({**_visitor(request), **values})
        parts = []
        while some := list(islice(texts, _PARTS_AT_ONCE)):
            parts.append("".join(some).encode())
            await asyncio.sleep(0)
        return _Page(parts, status, {**_HEADERS, **(headers or {})})

    async def away(self, request: Request, error: ReadModelAwayError) -> HTMLResponse:
        """Return the page for data that cannot be read now (503)."""
        again = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return await self.page(
            request,
            "away.html",
            {"again": again},
            status=503,
            headers={**not_now("The page", error).headers, "Retry-After": "5"},
        )


class _Page(HTMLResponse):
    """A page that is sent in parts: to copy 17 MB in one step takes 10 to 30 ms."""

    def __init__(self, parts: Sequence[bytes], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, {**headers, "Content-Length": str(sum(map(len, parts)))})
        self._parts = parts

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Send the parts, each once the client has read most of those before it."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        last = len(self._parts) - 1
        for number, part in enumerate(self._parts):
            more = number < last
            await send({"type": "http.response.body", "body": part, "more_body": more})


def _visitor(request: Request) -> dict[str, object]:
    identity: Identity = request.state.identity
    return {
        "username": identity.username,
        "customer_id": identity.customer_id,
        "csrf_token": request.headers.get("X-Csrf-Token", ""),
        "request_id": request.scope.get("state", {}).get("request_id", ""),
    }


def _environment(static: StaticFiles, zone: ZoneInfo) -> Environment:
    """Return the template environment: it escapes everything and rejects undefined names."""
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
    templates.filters["when"] = lambda moment, now: wording.when(moment.astimezone(zone), now)
    templates.filters["month_name"] = wording.month_name
    templates.filters["number"] = lambda number: f"{number:,}"
    templates.filters["repairs"] = wording.repairs
    templates.filters["completed_note"] = wording.completed_note
    templates.filters["share"] = wording.share
    templates.filters["json_script"] = _json_script
    return templates


def _json_script(value: object) -> Markup:
    return Markup(escape_for_script(dumps(value)))  # noqa: S704 - escaped for a script
