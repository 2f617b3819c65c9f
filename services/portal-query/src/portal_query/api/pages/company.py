"""The company's profile: the fields that its users may see and change."""

from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from portal_access.token import Identity
from portal_query.api.pages.again import Again
from portal_query.api.pages.reading import Reader, revision_of
from portal_query.api.pages.words import Words
from portal_query.api.templates import Templates
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection
from repair_events.repair import Customer, profile_tag


class Company:
    """Renders the form of the profile."""

    def __init__(self, reader: Reader, templates: Templates, zone: ZoneInfo) -> None:
        self._reader = reader
        self._templates = templates
        self._words = Words(zone)

    async def show(self, request: Request, again: Again) -> HTMLResponse:
        """Return the page, or a page with 404 while the company has no profile."""
        identity: Identity = request.state.identity
        seen = revision_of(request.query_params.get("seen"))

        async def load(connection: Connection) -> Customer | None:
            profile = await store.load_profile(connection, identity.customer_id)
            return None if profile is None else Customer(**profile)

        read = await self._reader.read(identity.customer_id, seen, load)
        values = {
            "again": again,
            "say": self._words,
            "state": read.state,
            "stale": read.stale,
            "profile": read.value,
            "etag": None if read.value is None else f'"{profile_tag(read.value)}"',
            "own_change": seen is not None and request.method != "POST",
            "arrived": read.arrived,
        }
        status = 200 if read.value is not None else 404
        return await self._templates.page(request, "company.html", values, status=status)
