"""The running portal for browser tests: customers, their repairs, and signed-in users."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.oracle.compare import Places
from tests.oracle.sessions import open_sessions
from tests.oracle.settle import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from deploy.demo.writer import Writer
    from deploy.local.whole import Stack
    from playwright.async_api import Page

_customers = itertools.count(time.time_ns() // 1_000_000_000 % 1_000_000 * 1_000 + 2_000_000_000)
_references = itertools.count(time.time_ns())


@dataclass(frozen=True)
class Site:
    """The system in a test: its address, its writer, and a way to sign in."""

    stack: Stack
    writer: Writer
    url: str

    @classmethod
    def of(cls, stack: Stack, writer: Writer) -> Site:
        """Return the site of a running system."""
        return cls(stack, writer, stack.description["urls"]["portal"])

    async def customer(
        self, name: str = "Prairie Freight", *, above: int = 0, **profile: str
    ) -> int:
        """Create a customer of this test's own with an id above the given one; return the id."""
        customer_id = above + next(_customers)
        await self.writer.put_customer(customer_id, {"name": name, **profile})
        return customer_id

    async def record(self, customer_id: int, unit: str = "A123", **repair: Any) -> dict[str, Any]:
        """Record a repair as an internal system does, and return the writer's response."""
        answer = await self.writer.record(_repair(customer_id, unit, repair))
        return answer.body

    async def load(self, customer_id: int, repairs: Iterable[Mapping[str, Any]]) -> None:
        """Import repairs, each with its `unit` and any other fields; wait until they are counted."""
        lines = (
            _repair(customer_id, "A123", repair)
            | {"source": "browser-test", "source_ref": str(next(_references))}
            for repair in repairs
        )
        async for result in self.writer.import_lines(lines):
            assert "repair_id" in result, result
        await self.counted(customer_id)

    async def counted(self, *customers: int) -> None:
        """Wait until all of the writer's changes of these customers are readable."""
        found = self.stack.description
        places = Places(
            writer_database=found["postgres"]["writer"],
            portal_database=found["postgres"]["portal"],
            redis=found["redis"],
            kafka=found["kafka"],
            topic=found["topic"],
            time_zone=found["time_zone"],
        )
        await settled(places, customers)

    async def sign_in(self, page: Page, customer_id: int | None) -> None:
        """Give the page's browser a session of a user of this customer (None: without one)."""
        databases = self.stack.description["postgres"]
        (session,) = await open_sessions(databases["gateway"], [customer_id])
        await page.context.add_cookies(
            [{"name": "sessionid", "value": session, "url": self.url, "httpOnly": True}]
        )


def _repair(customer_id: int, unit: str, repair: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(repair)
    return {
        "customer_id": customer_id,
        "unit_number": given.pop("unit", unit),
        "repair_date": "2026-03-05T15:30:00Z",
        "status": "PENDING",
        "description": "Stone chip, driver side",
        "damage_type": "Chip",
        "cost": "89.00",
        **given,
    }
