"""The repaired units, most repairs first: of one year or ever, each with a link to its repairs."""

from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from portal_access.token import Identity
from portal_query.api.pages.again import Again
from portal_query.api.pages.filters import LIST_PATH
from portal_query.api.pages.reading import Reader
from portal_query.api.pages.words import Words
from portal_query.api.templates import Templates
from portal_query.api.units import UnitsAsked, next_units, units_asked_of
from portal_query.read_model.counts import Connection
from portal_query.read_model.figures import UnitsListed, load_units
from service_runtime.clock import Clock
from service_runtime.errors import Problem

UNITS_PATH: Final = "/customer/units/"
#: Years back that the page offers; the address takes any other.
_YEARS: Final = 6


class UnitTable:
    """Renders the table."""

    def __init__(self, reader: Reader, templates: Templates, clock: Clock, zone: ZoneInfo) -> None:
        self._reader = reader
        self._templates = templates
        self._clock = clock
        self._zone = zone
        self._words = Words(zone)

    async def show(self, request: Request, _: Again) -> HTMLResponse:
        """Return the page; 400 with the same page for invalid parameters."""
        identity: Identity = request.state.identity
        given = [pair for pair in request.query_params.multi_items() if pair[1].strip()]
        try:
            asked = units_asked_of(given, identity.customer_id)
        except Problem as problem:
            faults = {fault["parameter"]: fault["detail"] for fault in problem.errors}
            values = self._frame(dict(given)) | {"faults": faults, "asked": None}
            return await self._templates.page(request, "units.html", values, status=400)

        async def load(connection: Connection) -> UnitsListed:
            return await load_units(connection, identity.customer_id, asked.page)

        read = await self._reader.read(identity.customer_id, None, load)
        cursor = next_units(read.value, asked, read.state, identity.customer_id)
        kept = [pair for pair in given if pair[0] != "cursor"]
        values = self._frame(dict(given)) | {
            "asked": asked.page,
            "state": read.state,
            "stale": read.stale,
            "listed": read.value,
            "repairs_of": {unit: _repairs_of(unit, asked) for unit, _ in read.value.units},
            "first": f"{UNITS_PATH}?{urlencode([pair for pair in kept if pair[0] != 'limit'])}",
            "next": None
            if cursor is None
            else f"{UNITS_PATH}?{urlencode([*kept, ('cursor', cursor)])}",
            "changed": asked.seen is not None and asked.seen != read.state.version,
        }
        return await self._templates.page(request, "units.html", values)

    def _frame(self, given: dict[str, str]) -> dict[str, object]:
        this_year = self._clock.now().astimezone(self._zone).year
        return {
            "given": given,
            "years": [str(year) for year in range(this_year, this_year - _YEARS, -1)],
            "say": self._words,
            "faults": {},
        }


def _repairs_of(unit: str, asked: UnitsAsked) -> str:
    """Return the list of exactly the repairs that the number counts."""
    parameters = {"unit": unit}
    if asked.page.year is not None:
        parameters |= {"from": f"{asked.page.year}-01-01", "to": f"{asked.page.year}-12-31"}
    return f"{LIST_PATH}?{urlencode(parameters)}"
