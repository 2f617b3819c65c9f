"""Two customers side by side: each reads its own published changes through the gateway, to the
byte.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.oracle.settle import PATHS

if TYPE_CHECKING:
    from tests.system.conftest import Portal

UNITS, MONTHS, STATUSES = PATHS["units"], PATHS["months"], PATHS["statuses"]


def repair(customer_id: int, ref: str, **fields: Any) -> dict[str, Any]:
    """Return a repair to record, with the test's fields."""
    return {
        "customer_id": customer_id,
        "source": "system-test",
        "source_ref": f"{customer_id}-{ref}",
        "unit_number": "A123",
        "repair_date": "2026-03-10T15:00:00Z",
        "damage_type": "Chip",
        "cost": "50.00",
    } | fields


async def record(portal: Portal, customer_id: int, *rows: tuple[str, str, str]) -> list[str]:
    """Record repairs given as (unit, date, status); return their ids."""
    ids = []
    for place, (unit, date, status) in enumerate(rows):
        body = repair(
            customer_id, f"{unit}-{place}", unit_number=unit, repair_date=date, status=status
        )
        ids.append((await portal.writer.record(body)).body["repair_id"])
    return ids


async def test_each_customer_reads_the_own_numbers_to_the_byte(portal: Portal) -> None:
    first, second = await portal.customers(2)
    await record(
        portal, first,
        ("B456", "2026-01-31T12:00:00Z", "COMPLETED"), ("A123", "2026-02-01T05:59:59Z", "REQUESTED"),
        ("A123", "2026-02-01T06:00:00Z", "PENDING"), ("Ünit 7", "2025-12-24T18:00:00Z", "DENIED"),
    )  # fmt: skip
    await record(portal, second, ("Z9", "2026-02-11T12:00:00Z", "IN_PROGRESS"))
    await portal.agreed([first, second])
    one, two = await portal.visitors(first, second)

    assert (await one.get(UNITS)).body == (
        b'[{"unit_number": "A123", "repair_count": 2}, {"unit_number": "B456", "repair_count": 1}, '
        b'{"unit_number": "\\u00dcnit 7", "repair_count": 1}]'
    )
    # 05:59:59 UTC is still January in Chicago.
    assert (await one.get(MONTHS)).body == (
        b'[{"date": "2025-12", "count": 1}, {"date": "2026-01", "count": 2}, {"date": "2026-02", "count": 1}]'
    )
    assert (await two.get(UNITS)).body == b'[{"unit_number": "Z9", "repair_count": 1}]'
    assert (await two.get(MONTHS)).body == b'[{"date": "2026-02", "count": 1}]'
    assert json.loads((await two.get(STATUSES)).body)[3] == {"status": "IN_PROGRESS", "count": 1}


async def test_a_customer_without_repairs_sees_nothing_invented(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    await portal.agreed([customer])
    (visitor,) = await portal.visitors(customer)

    assert (await visitor.get(UNITS)).body == b"[]"
    assert (await visitor.get(MONTHS)).body == b"[]"
    assert [row["count"] for row in json.loads((await visitor.get(STATUSES)).body)] == [0] * 6


async def test_the_answer_carries_its_revision_and_its_tag(portal: Portal) -> None:
    first, second = await portal.customers(2)
    for customer in (first, second):
        await record(portal, customer, ("A123", "2026-01-31T12:00:00Z", "COMPLETED"))
    await portal.agreed([first, second])
    one, two = await portal.visitors(first, second)

    reply = await one.get_dated(UNITS)

    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert "Cookie" in reply.headers["Vary"]
    assert reply.headers["Portal-Revision"] == "2"
    assert {"Portal-Refold", "Portal-Lag"} <= reply.headers.keys()
    assert (await one.get(UNITS, If_None_Match=reply.headers["ETag"])).status == 304
    # The other customer has the same revision and the same numbers; the tag differs all the same.
    assert (await two.get(UNITS, If_None_Match=reply.headers["ETag"])).status == 200
    assert (await one.get(UNITS + "?customer_id=" + str(second))).body == reply.body
    assert (await one.get(UNITS, method="HEAD")).body == b""


async def test_who_is_not_signed_in_is_led_to_the_login(portal: Portal) -> None:
    reply = await portal.nobody().get(UNITS + "?a=1")

    assert (reply.status, reply.body) == (302, b"")
    assert (
        reply.headers["Location"] == "/accounts/login/?next=/customer/api/unit-repair-data/%3Fa%3D1"
    )
    assert reply.headers["Vary"] == "Cookie"
    bare = await portal.nobody().get(UNITS.rstrip("/") + "?a=1")
    assert (bare.status, bare.headers["Location"]) == (301, UNITS + "?a=1")


async def test_who_has_no_customer_gets_the_documented_404(portal: Portal) -> None:
    (visitor,) = await portal.visitors(None)

    for path in (UNITS, MONTHS):
        reply = await visitor.get(path)
        assert (reply.status, reply.body) == (404, b'{"error": "Customer profile not found"}')
        assert reply.headers["Content-Type"] == "application/json"
    assert (await visitor.get("/customer/dashboard/")).status == 404


async def test_a_documented_endpoint_is_only_read(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    (visitor,) = await portal.visitors(customer)

    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await visitor.get(UNITS, method=method)).status in {403, 405}
    assert (await visitor.get("/customer/api/unknown/")).status == 404


async def test_the_dashboard_holds_the_status_list_in_its_context(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    await record(portal, customer, ("A123", "2026-01-31T12:00:00Z", "DENIED"))
    folds = await portal.agreed([customer])
    (visitor,) = await portal.visitors(customer)

    reply = await visitor.get("/customer/dashboard/")

    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert "ETag" not in reply.headers
    opening = b'<script id="repair_status_counts" type="application/json">'
    found = reply.body.split(opening)[1].split(b"</script>")[0]
    assert found == folds[customer].counts(portal.time_zone).bodies()["statuses"]
    assert (await visitor.get("/customer/")).headers["Location"] == "/customer/dashboard/"
