"""The form that requests a repair: one unit, one visit, up to ten breaks."""

from typing import Final
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from portal_access.token import Identity
from portal_query.api.pages.again import Again
from portal_query.api.templates import Templates
from portal_query.document import UNITS, first_units
from portal_query.read_model.documents import Documents, ReadModelAwayError
from service_runtime.clock import Clock

MAX_BREAKS: Final = 10
#: Rows on the page without a script; a script shows them when they are needed.
_ROWS: Final = 3
#: More would make the page heavy; any other number can be typed.
_SUGGESTED: Final = 500
#: Usual kinds of damage; any other word can be typed.
_KINDS: Final = (
    "Chip",
    "Star break",
    "Bullseye",
    "Combination break",
    "Half-moon",
    "Short crack",
    "Long crack",
    "Surface pit",
)


class RequestForm:
    """Renders the form."""

    def __init__(
        self, documents: Documents, templates: Templates, *, clock: Clock, zone: ZoneInfo
    ) -> None:
        self._documents = documents
        self._templates = templates
        self._clock = clock
        self._zone = zone

    async def show(self, request: Request, again: Again) -> HTMLResponse:
        """Return the page."""
        identity: Identity = request.state.identity
        values = {
            "again": again,
            "unit": again.typed("unit_number", request.query_params.get("unit", "")[:100]),
            "units": await self._units(identity.customer_id),
            "kinds": _KINDS,
            "rows": range(1, _rows_of(again) + 1),
            "max_breaks": MAX_BREAKS,
            "today": f"{self._clock.now().astimezone(self._zone):%Y-%m-%d}",
        }
        return await self._templates.page(request, "request.html", values)

    async def _units(self, customer_id: int) -> list[str]:
        """Return the units to suggest, in their order; none when they cannot be read now."""
        try:
            units = await self._documents.read(customer_id, UNITS)
        except ReadModelAwayError:
            return []
        most, _ = first_units(units.body, _SUGGESTED)
        return sorted(row["unit_number"] for row in most)


def _rows_of(again: Again) -> int:
    """Return the number of rows that the input needs."""
    sent = again.values.keys()
    rows = range(MAX_BREAKS, _ROWS, -1)
    return next((n for n in rows if {f"damage_type-{n}", f"description-{n}"} & sent), _ROWS)
