"""Units with their numbers of repairs: of one year or ever, most first, in pages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from portal_query.api.parameters import (
    DEFAULT_LIMIT,
    Reading,
    limit_of,
    pack_cursor,
    stored_unit,
    unpack_cursor,
)
from portal_query.api.snapshots import Snapshots, customer_of
from portal_query.document import State, Version
from portal_query.read_model.counts import Connection
from portal_query.read_model.figures import UnitPlace, UnitsListed, UnitsWanted, load_units

_YEAR: Final = re.compile(r"(19|20|21)\d\d", re.ASCII)
_COUNT: Final = re.compile(r"[1-9]\d{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnitsAsked:
    """A requested page; `seen` is the version of the previous page."""

    page: UnitsWanted
    seen: Version | None = None


class UnitPages:
    """Serves pages of units."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def list(self, request: Request) -> Response:
        """Return a page of units. Raises Problem (400) for invalid parameters."""
        customer_id = customer_of(request)
        asked = units_asked_of(request.query_params.multi_items(), customer_id)

        async def show(connection: Connection, state: State) -> object:
            listed = await load_units(connection, customer_id, asked.page)
            return {
                "units": [{"unit_number": unit, "repair_count": n} for unit, n in listed.units],
                "count": listed.count,
                "next": next_units(listed, asked, state, customer_id),
                "refold": state.version.refold,
                "revision": state.version.revision,
                "changed_since": asked.seen is not None and asked.seen != state.version,
            }

        return await self._snapshots.answer(request, "The list of units", show)


def units_asked_of(parameters: Iterable[tuple[str, str]], customer_id: int) -> UnitsAsked:
    """Parse the parameters of an address into a page.

    Raises Problem (400) naming every parameter that is unknown, repeated or unreadable.
    """
    reading = Reading(parameters)
    page = UnitsWanted(
        year=reading.one("year", _year),
        at_least=reading.one("at_least", _at_least) or 1,
        limit=reading.one("limit", limit_of) or DEFAULT_LIMIT,
    )

    def cursor_of(text: str) -> tuple[UnitPlace, Version]:
        return unpack_cursor(text, customer_id, _name(page), _place)

    cursor = reading.one("cursor", cursor_of)
    reading.finish()
    if cursor is None:
        return UnitsAsked(page)
    return UnitsAsked(replace(page, after=cursor[0]), cursor[1])


def next_units(
    listed: UnitsListed, asked: UnitsAsked, state: State, customer_id: int
) -> str | None:
    """Return the cursor of the next page, None on the last page."""
    if listed.after is None:
        return None
    place = [str(listed.after.count), listed.after.unit]
    return pack_cursor(customer_id, _name(asked.page), place, asked.seen or state.version)


def unit_routes(pages: UnitPages) -> APIRouter:
    """Return the route of the units."""
    routes = APIRouter()
    routes.add_api_route(
        "/customer/api/units/", pages.list, methods=["GET", "HEAD"], response_model=None
    )
    return routes


def _name(page: UnitsWanted) -> tuple[str, int | None, int]:
    return "units", page.year, page.at_least


def _place(count: str, unit: str) -> UnitPlace:
    if not _COUNT.fullmatch(count):
        raise ValueError(count[:10])
    return UnitPlace(int(count), stored_unit(unit))


def _year(text: str) -> int:
    if not _YEAR.fullmatch(text):
        raise ValueError("must be a year, written 2026")
    return int(text)


def _at_least(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError("must be a number of repairs, 1 or more")
    return int(text)
