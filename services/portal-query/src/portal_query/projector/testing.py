"""Stand-ins for the writer: streams as it would store them, and a server that sends them.

The server speaks the writer's protocol (progress, heads, events of a customer) on a real socket.
It sends only what a test has put into it. It can be unavailable, late, or wrong on purpose.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import msgspec
from aiohttp import web

from portal_query.counting import Dimension, Tally
from portal_query.projector.lists import Head
from repair_events import event, topic
from repair_events.event import Event, EventData, encode
from repair_events.ids import new_id
from repair_events.month import Months
from repair_events.repair import Customer, Repair
from service_runtime.clock import SystemClock, rfc3339

KEY = "rsw_live_projectr_for-tests-only"


@dataclass(slots=True)
class TopicRecord:
    """A record as Kafka delivers it."""

    value: bytes | None
    key: bytes | None = None
    offset: int = 0
    partition: int = 0
    topic: str = topic.TOPIC
    timestamp: int = 0


def record_of(made: Event, offset: int = 0) -> TopicRecord:
    """Return the record of an event, in its customer's partition."""
    customer = made.data.customer_id
    return TopicRecord(encode(made), topic.key(customer), offset, topic.partition(customer))


class CustomerList:
    """One customer's stream, as the writer would have stored it."""

    def __init__(self, customer_id: int, now: Callable[[], datetime] | None = None) -> None:
        self.customer_id = customer_id
        self.events: list[Event] = []
        self.repairs: dict[str, Repair] = {}
        self.changed_at = datetime(2026, 1, 1, tzinfo=UTC)
        self._now = now or SystemClock().now

    @property
    def lines(self) -> list[bytes]:
        """Return the events as they are stored and sent, one JSON text each."""
        return [encode(one) for one in self.events]

    def record(
        self,
        unit: str = "A1",
        date: str = "2026-01-15T12:00:00Z",
        status: str = "REQUESTED",
        **more: object,
    ) -> Event:
        """Record a new repair."""
        fields: dict[str, object] = {
            "repair_id": new_id(),
            "customer_id": self.customer_id,
            "unit_number": unit,
            "repair_date": date,
            "status": status,
            "cost": "120.50",
            "source": "tests",
        }
        return self.append(event.RECORDED, msgspec.convert(fields | more, Repair))

    def change(self, repair_id: str, fact: str = event.CORRECTED, **fields: object) -> Event:
        """Change fields of a repair."""
        return self.append(fact, msgspec.structs.replace(self.repairs[repair_id], **fields))

    def name(self, name: str) -> Event:
        """Change the customer's name."""
        return self.append(
            event.PROFILE_CHANGED, None, Customer(customer_id=self.customer_id, name=name)
        )

    def append(
        self,
        fact: str,
        repair: Repair | None,
        customer: Customer | None = None,
        *,
        type_: str | None = None,
    ) -> Event:
        """Append an event and return it."""
        self.changed_at = self._now()
        moment = rfc3339(self.changed_at)
        made = Event(
            id=new_id(),
            source="tests",
            type=type_ or event.event_type(fact),
            subject=repair.repair_id if repair else str(self.customer_id),
            time=moment,
            data=EventData(
                customer_id=self.customer_id,
                revision=len(self.events) + 1,
                previous=self.events[-1].id if self.events else None,
                occurred_at=moment,
                actor="internal:tests",
                repair=repair,
                customer=customer,
            ),
        )
        self.events.append(made)
        if repair is not None:
            self.repairs[repair.repair_id] = repair
        return made

    def counts(self, zone: str, revision: int | None = None) -> dict[tuple[Dimension, str], int]:
        """Return the counts after the first `revision` events, None for all of them."""
        tally = Tally(Months(zone))
        for one in self.events[:revision]:
            if one.data.repair is not None:
                tally.add(one.data.repair)
        return tally.counts()


class ListServer:
    """A server of streams on a free port of the loopback interface. `async with` runs it.

    `away` makes every answer a 503. `sent_until` is the present unless it is set. `meanwhile` runs
    between the reading of a stream and its answer, as a change in transit would.
    """

    def __init__(self) -> None:
        self.lists: dict[int, CustomerList] = {}
        self.away = False
        self.sent_until: datetime | None = None
        self.refused_rows = 0
        self.asked: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.url = ""
        self._runner: web.AppRunner | None = None

    def customer(self, customer_id: int) -> CustomerList:
        """Return the stream of a customer, an empty one when it is new."""
        return self.lists.setdefault(customer_id, CustomerList(customer_id))

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/v1/progress", self._progress)
        app.router.add_get("/v1/heads", self._heads)
        app.router.add_get("/v1/customers/{id}/events", self._events)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _check(self, request: web.Request) -> None:
        self.asked.append(request.path_qs)
        if self.away:
            raise web.HTTPServiceUnavailable
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized

    async def _progress(self, request: web.Request) -> web.Response:
        self._check(request)
        until = self.sent_until or SystemClock().now()
        return web.json_response(
            {"sent_until": rfc3339(until), "outbox_rows": 0, "refused_rows": self.refused_rows}
        )

    async def _heads(self, request: web.Request) -> web.Response:
        self._check(request)
        after, limit = int(request.query["after"]), int(request.query["limit"])
        since = request.query.get("changed_since")
        heads = [
            Head(one.customer_id, len(one.events), one.events[-1].id, one.changed_at)
            for _, one in sorted(self.lists.items())
            if one.events
            and one.customer_id > after
            and (since is None or one.changed_at >= datetime.fromisoformat(since))
        ]
        more = heads[limit - 1].customer_id if len(heads) > limit else None
        body = msgspec.json.encode({"heads": heads[:limit], "next_after": more})
        return web.Response(body=body, content_type="application/json")

    async def _events(self, request: web.Request) -> web.Response:
        self._check(request)
        listed = self.lists.get(int(request.match_info["id"]))
        if listed is None:
            body = json.dumps({"code": "customer-unknown", "status": 404})
            return web.Response(status=404, text=body, content_type="application/problem+json")
        lines = listed.lines[int(request.query.get("after", "0")) :]
        revision = len(listed.events)
        if self.meanwhile is not None:
            await self.meanwhile()
        return web.Response(
            body=b"".join(line + b"\n" for line in lines),
            content_type="application/x-ndjson",
            headers={"Portal-Revision": str(revision)},
        )
