"""The list of repairs: filtered, sorted, in pages, with decisions on pending repairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse

from portal_access.token import Identity
from portal_query.api.asking import Asked, asked_of, next_of
from portal_query.api.pages.again import Again, Result
from portal_query.api.pages.filters import ListAddress, sentence_of
from portal_query.api.pages.reading import Read, Reader, revision_of
from portal_query.api.pages.words import Words
from portal_query.api.templates import Templates
from portal_query.read_model import repairs as store
from portal_query.read_model.counts import Connection
from portal_query.read_model.lists import Listed, load_list
from repair_events.status import STATUSES
from service_runtime.errors import Problem

#: Most repairs of a printed sheet; a longer list states this, and the file holds all. Each takes a
#: seventh of a millisecond, during which no other request runs.
SHEET_LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class _Found:
    listed: Listed
    answered: dict[str, store.Row]
    company: str


class RepairList:
    """Renders the list."""

    def __init__(self, reader: Reader, templates: Templates, zone: ZoneInfo) -> None:
        self._reader = reader
        self._templates = templates
        self._zone = zone
        self._words = Words(zone)

    async def show(self, request: Request, again: Again) -> HTMLResponse:
        """Return the page; 400 with the same page for invalid parameters."""
        identity: Identity = request.state.identity
        address = ListAddress(request.query_params.multi_items())
        try:
            asked = self._asked(address, identity.customer_id)
        except Problem as problem:
            faults = {fault["parameter"]: fault["detail"] for fault in problem.errors}
            values = self._frame(address, again) | {"faults": faults, "asked": None}
            return await self._templates.page(request, "repair_list.html", values, status=400)
        seen = revision_of(address.seen)

        async def load(connection: Connection) -> _Found:
            customer_id = identity.customer_id
            listed = await load_list(connection, customer_id, asked.page)
            answered = await _load_answered(connection, customer_id, again.results)
            # A printed sheet has no other mark of its customer.
            profile = (
                await store.load_profile(connection, customer_id) if address.is_sheet else None
            )
            return _Found(listed, answered, profile["name"] if profile else "")

        read = await self._reader.read(identity.customer_id, seen, load)
        values = self._frame(address, again) | self._list(address, asked, read, identity)
        values |= {"own_change": seen is not None and request.method != "POST"}
        return await self._templates.page(request, "repair_list.html", values)

    def _asked(self, address: ListAddress, customer_id: int) -> Asked:
        asked = asked_of(address.asked, customer_id, self._zone)
        if not address.is_sheet:
            return asked
        return replace(asked, page=replace(asked.page, limit=SHEET_LIMIT))

    def _frame(self, address: ListAddress, again: Again) -> dict[str, object]:
        return {
            "address": address,
            "again": again,
            "say": self._words,
            "statuses": STATUSES,
            "faults": {},
        }

    def _list(
        self, address: ListAddress, asked: Asked, read: Read[_Found], identity: Identity
    ) -> dict[str, object]:
        listed, state = read.value.listed, read.state
        cursor = next_of(listed, asked, state, identity.customer_id)
        return {
            "asked": asked,
            "state": state,
            "stale": read.stale,
            "arrived": read.arrived,
            "rows": listed.rows,
            "length": listed.count,
            "waiting": any(row["status"] == "PENDING" for row in listed.rows),
            "sentence": sentence_of(address),
            "chips": address.chips(),
            "headings": address.headings(asked.page.sort),
            "next": None if cursor is None else address.after(cursor),
            "cut_short": cursor is not None and len(listed.rows) < asked.page.limit,
            "changed": asked.seen is not None and asked.seen != state.version,
            "answered": read.value.answered,
            "company": read.value.company,
        }


async def _load_answered(
    connection: Connection, customer_id: int, results: Sequence[Result]
) -> dict[str, store.Row]:
    """Return the customer's repairs that decisions were about; leave out those of other customers."""
    found = {}
    for result in results:
        row = await store.load_repair(connection, customer_id, result.repair_id)
        if row is not None:
            found[str(result.repair_id)] = row
    return found
