"""Serving processes, each with the request that overloads it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.offered import CALLERS, Offer

from portal_access.token import HEADER, Identity, TokenSigner
from service_runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.system import ChaosStack
    from tests.chaos.trial import Trial

COUNTS = "/customer/api/unit-repair-data/"
REPAIRS = "/customer/api/repairs/"
CUSTOMERS = 40
IMPORT_LINES = 100
#: A token of the gateway's lives 30 s, longer than one offer.
_USERS = 64


@dataclass(frozen=True)
class Target:
    """A kind of request to one process.

    `at_once` is the number that reaches the peak in a closed loop.
    """

    name: str
    process: str
    request: Callable[[], Offer]
    at_once: int = 32

    def closed(self, seconds: float) -> Offer:
        """Return the offer that measures the capacity."""
        return self._with(rate=None, connections=self.at_once, seconds=seconds)

    def at(self, connections: int, seconds: float) -> Offer:
        """Return a closed loop over so many connections."""
        return self._with(rate=None, connections=connections, seconds=seconds)

    def open(self, rate: float, seconds: float) -> Offer:
        """Return an offer at a fixed rate."""
        return self._with(rate=rate, connections=CALLERS, seconds=seconds)

    def _with(self, *, rate: float | None, connections: int, seconds: float) -> Offer:
        found = self.request()
        return Offer(
            url=found.url, path=found.path, method=found.method, headers=found.headers, body=found.body,
            first_customer=found.first_customer, customers=found.customers,
            rate=rate, connections=connections, seconds=seconds,
        )  # fmt: skip


def targets(t: Trial, customers: Sequence[int]) -> list[Target]:
    """Return every target of a trial; commands and imports go to these consecutive customers."""
    reader = t.load.hot[0]
    sessions = [found.cookie for found in t.readers.browsers if found.customer == reader]
    return targets_of(t.stack, reader, sessions, customers)


def targets_of(
    stack: ChaosStack, reader: int, sessions: Sequence[str], customers: Sequence[int]
) -> list[Target]:
    """Return every target of a system. `sessions` are signed in for the customer `reader`."""
    urls, key_text = stack.description["urls"], stack.description["internal_key"]
    cookies = [{"Cookie": f"sessionid={one}"} for one in sessions]
    signer = TokenSigner(stack.system.secrets["identity_keys_query"], "query")
    run = time.time_ns()

    def tokens() -> list[dict[str, str]]:
        made = SystemClock().now()
        users = (
            Identity(user, f"user-{user}", reader, f"session-{user}") for user in range(1, _USERS)
        )
        return [{HEADER: signer.sign(user, made)} for user in users]

    def command(path: str, kind: str, body: str) -> Offer:
        key = {"Authorization": f"Bearer {key_text}", "Content-Type": f"application/{kind}"}
        return Offer(
            url=urls["writer"], path=path, method="POST", body=body, headers=[key],
            first_customer=customers[0], customers=len(customers),
        )  # fmt: skip

    lines = "\n".join(_repair(f"{run}-%d-{line}") for line in range(IMPORT_LINES)) + "\n"
    return [
        Target("gateway", "gateway", lambda: Offer(url=urls["portal"], path=COUNTS, headers=cookies)),
        Target("query, counts", "query", lambda: Offer(url=urls["query"], path=COUNTS, headers=tokens())),
        Target("query, repairs", "query", lambda: Offer(url=urls["query"], path=REPAIRS, headers=tokens()), 8),
        Target("writer", "writer", lambda: command("/v1/repairs", "json", _repair(f"{run}-%d")), 24),
        Target("import", "writer", lambda: command("/v1/repairs/import", "x-ndjson", lines), 2),
    ]  # fmt: skip


def _repair(reference: str) -> str:
    """Return a repair as JSON; the load process adds a customer and a number."""
    repair = {
        "customer_id": "%c",
        "unit_number": "TRUCK 07",
        "repair_date": "2026-02-11T15:00:00Z",
        "status": "PENDING",
        "source_ref": reference,
    }
    return json.dumps(repair).replace('"%c"', "%c")
