"""One repair: the fields for its customer, its history, and the decision that it waits for."""

from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from portal_access.token import Identity
from portal_query.api.pages.again import Again
from portal_query.api.pages.reading import Reader, revision_of
from portal_query.api.pages.words import Words, happenings
from portal_query.api.templates import Templates
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection


@dataclass(frozen=True, slots=True)
class _Found:
    row: store.Row
    history: store.History
    visit: list[store.Row]


class OneRepair:
    """Renders a repair."""

    def __init__(self, reader: Reader, templates: Templates, zone: ZoneInfo) -> None:
        self._reader = reader
        self._templates = templates
        self._words = Words(zone)

    async def show(self, request: Request, again: Again) -> HTMLResponse:
        """Return the page, or a page with 404 for a repair of another customer."""
        identity: Identity = request.state.identity
        try:
            repair_id = UUID(request.path_params["repair_id"])
        except ValueError:
            return await self._missing(request, arrived=True)
        seen = revision_of(request.query_params.get("seen"))

        async def load(connection: Connection) -> _Found | None:
            row = await store.load_repair(connection, identity.customer_id, repair_id)
            if row is None:
                return None
            history = await store.load_history(connection, identity.customer_id, repair_id)
            return _Found(
                row, history, await store.load_visit(connection, identity.customer_id, row)
            )

        read = await self._reader.read(identity.customer_id, seen, load)
        if read.value is None:
            return await self._missing(request, arrived=read.arrived)
        found = read.value
        values = {
            "again": again,
            "say": self._words,
            "state": read.state,
            "stale": read.stale,
            "row": found.row,
            "visit": found.visit,
            # The gateway names a revision when the writer reported another state.
            "changed": request.method == "POST" and seen is not None,
            "happenings": happenings(found.history.lines),
            "history_complete": found.history.complete,
            "own_change": None
            if request.method == "POST"
            else _own_change(found.history.lines, seen),
            "arrived": read.arrived,
        }
        return await self._templates.page(request, "one_repair.html", values)

    async def _missing(self, request: Request, *, arrived: bool) -> HTMLResponse:
        # A repair requested a moment ago exists but has not arrived here yet.
        values = {"arrived": arrived, "here_address": f"{request.url.path}?{request.url.query}"}
        status = 404 if arrived else 503
        headers = {} if arrived else {"Retry-After": "2"}
        return await self._templates.page(
            request, "no_such_repair.html", values, status=status, headers=headers
        )


def _own_change(lines: list[store.HistoryLine], seen: int | None) -> str | None:
    """Return the visitor's latest change, None when `seen` names another revision."""
    line = next((one for one in lines if one.revision == seen), None)
    if line is None or line.by != "customer":
        return None
    said = {
        "REQUESTED": "Your request is recorded.",
        "APPROVED": "You approved this repair.",
        "DENIED": "You denied this repair.",
    }
    return said.get(line.status)
