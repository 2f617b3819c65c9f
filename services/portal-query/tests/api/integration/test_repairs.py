import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from portal_query.read_model.repairs import HISTORY_LINES
from repair_events.repair import Customer, profile_tag

PATH = "/customer/api/repairs/"
PROFILE = "/customer/api/profile/"


async def listed(api: Any, query: str = "", customer_id: int = 1) -> Any:
    async with api.ask(PATH + query, customer_id) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def every_page(api: Any, query: str) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        page = await listed(api, f"?{query}{cursor}")
        found += page["repairs"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def test_a_repair_shows_what_its_customer_may_see_and_nothing_else(
    api: Any, read_model: Any, repair: Any
) -> None:
    one = repair("A1", "PENDING", datetime(2026, 2, 1, 3, tzinfo=UTC), "12.30", notes="please")
    await read_model.put(1, [one])
    page = await listed(api)
    assert page["repairs"] == [
        {
            "repair_id": str(one.repair_id),
            "unit_number": "A1",
            "repair_date": "2026-02-01T03:00:00.000000Z",
            "month": "2026-01",
            "status": "PENDING",
            "description": "crack",
            "damage_type": "",
            "cost": "12.30",
            "customer_notes": "please",
            "requested_by": "company",
            "batch_id": None,
            "recorded_at": "2026-02-01T03:00:00.000000Z",
            "changed_at": "2026-02-01T03:00:00.000000Z",
            "revision": 1,
            "etag": f'"{one.event_id}"',
        }
    ]
    assert (page["next"], page["revision"], page["refold"]) == (None, 1, 1)
    assert page["changed_since"] is False


async def test_every_number_of_the_page_is_the_length_of_its_list(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, [*a_fleet, repair("gone", removed=True)])
    for path, name, parameter in (
        ("unit-repair-data", "unit_number", "unit"),
        ("repair-cost-data", "date", "month"),
        ("repair-status-data", "status", "status"),
    ):
        async with api.ask(f"/customer/api/{path}/") as answer:
            for row in await answer.json():
                count = row.get("repair_count", row.get("count"))
                found = await every_page(api, f"{parameter}={row[name]}&limit=3")
                assert len(found) == count


@pytest.mark.parametrize("sort", ["repair_date", "cost", "unit_number", "changed_at"])
@pytest.mark.parametrize("descending", [True, False])
async def test_pages_hold_each_repair_once_in_order(
    api: Any, read_model: Any, a_fleet: Any, sort: str, descending: bool
) -> None:
    await read_model.put(1, a_fleet)
    found = await every_page(api, f"sort={'-' if descending else ''}{sort}&limit=5")
    keys = [
        (float(one["cost"]) if sort == "cost" else one[sort], one["repair_id"]) for one in found
    ]
    assert len({key[1] for key in keys}) == 12
    assert keys == sorted(keys, reverse=descending)


async def test_filters_narrow_the_list(api: Any, read_model: Any, repair: Any) -> None:
    await read_model.put(
        1,
        [
            repair("A1", "PENDING", datetime(2026, 1, 31, 23, tzinfo=UTC), description="Chip 100%"),
            repair("A1", "DENIED", datetime(2026, 2, 1, 5, 59, 59, tzinfo=UTC), notes="left_side"),
            repair("B2", "PENDING", datetime(2026, 2, 1, 6, tzinfo=UTC), description="leftXside"),
        ],
    )
    for query, count in (
        ("unit=A1", 2),
        ("unit=%20A1%20", 2),
        ("unit=a1", 0),
        ("status=PENDING", 2),
        ("status=PENDING&status=DENIED", 3),
        ("month=2026-01", 2),
        ("from=2026-02-01", 1),
        ("to=2026-01-31", 2),
        ("from=2026-01-31&to=2026-01-31", 2),
        ("q=100%25", 1),
        ("q=left_side", 1),
        ("q=CHIP", 1),
        ("q=b2", 1),
        ("unit=A1&status=PENDING&month=2026-01&q=chip", 1),
        ("q=%27%3B%20DROP%20TABLE%20portal.repair%3B--", 0),
    ):
        page = await listed(api, f"?{query}")
        assert len(page["repairs"]) == count, query


async def test_texts_are_found_in_any_spelling_that_looks_the_same(
    api: Any, read_model: Any, repair: Any
) -> None:
    await read_model.put(
        1,
        [
            repair("A 12", description="Mu\u0308ller"),  # composed or not
            repair("A 12", description="M\u00dcLLER GMBH", notes="Gro\u00dfe  Stra\u00dfe\n 5"),
            repair(
                "M\u00fcll-1", description="wind\u00adshield", notes="\ufeffcall m\u00fc\u200bller"
            ),
            repair("plain", description="wind shield"),
        ],
    )
    for query, count in (
        ("q=A%20%2012", 2),
        ("q=A%C2%A012", 2),
        ("q=Mu%CC%88ll-1", 1),
        ("q=m%C3%BCller", 3),
        ("q=MU%CC%88LLER", 3),
        ("q=m%C3%BC%E2%80%8Bller", 3),
        ("q=GROSSE%20stra%C3%9Fe%205", 1),
        ("q=windshield", 1),
        ("q=WIND%C2%ADSHIELD", 1),
        ("q=wind%E2%80%83shield", 1),
        ("q=gmbh", 1),
        ("q=12m", 0),  # never across two texts
        ("unit=A%C2%A0%2012", 2),
        ("unit=%EF%BB%BFA%2012%E2%80%8B", 2),
        ("unit=Mu%CC%88ll-1", 1),
    ):
        page = await listed(api, f"?{query}")
        assert len(page["repairs"]) == count, query


async def test_a_list_by_unit_goes_on_behind_units_as_they_are_stored(
    api: Any, read_model: Any, repair: Any
) -> None:
    # Recorded before units were cleaned: every unit of the stream is listed once.
    units = ["A1\u200b", "A1", "A1 ", "A\u202e1", "Cafe\u0301", "  "]
    await read_model.put(1, [repair(unit) for unit in units])
    for path, name in (("repairs/?sort=unit_number&", "repairs"), ("units/?", "units")):
        found, cursor = [], ""
        while True:
            async with api.ask(f"/customer/api/{path}limit=1{cursor}") as answer:
                page = await answer.json()
                assert answer.status == 200, page
            found += [one["unit_number"] for one in page[name]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert sorted(found) == sorted(units)


async def test_a_page_says_when_the_list_has_changed_since_its_first(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    first = await listed(api, "?limit=5")
    await read_model.put(1, [*a_fleet, repair("new")])
    second = await listed(api, f"?limit=5&cursor={first['next']}")
    assert second["changed_since"] is True
    third = await listed(api, f"?limit=5&cursor={second['next']}")
    assert third["changed_since"] is True
    assert (await listed(api, "?limit=5"))["changed_since"] is False


async def test_another_customers_repairs_are_never_there(
    api: Any, read_model: Any, repair: Any
) -> None:
    mine, theirs = repair("mine"), repair("theirs")
    await read_model.put(1, [mine])
    await read_model.put(2, [theirs])
    await read_model.history(2, theirs.repair_id, "recorded")
    assert [one["unit_number"] for one in (await listed(api))["repairs"]] == ["mine"]
    async with api.ask(f"{PATH}{theirs.repair_id}/") as answer:
        assert answer.status == 404
        stranger = await answer.json()
    async with api.ask(f"{PATH}{uuid.uuid4()}/") as answer:
        nothing = await answer.json()
    for body in (stranger, nothing):
        body.pop("request_id")
    assert stranger == nothing


async def test_a_cursor_of_another_customer_or_list_is_refused(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.put(2, a_fleet)
    cursor = (await listed(api, "?limit=5"))["next"]
    for customer_id, query in ((2, "limit=5"), (1, "unit=A1"), (1, "sort=cost")):
        async with api.ask(f"{PATH}?{query}&cursor={cursor}", customer_id) as answer:
            assert answer.status == 400
            assert (await answer.json())["errors"][0]["parameter"] == "cursor"


async def test_parameters_that_cannot_be_read_are_a_problem_that_names_them(api: Any) -> None:
    async with api.ask(f"{PATH}?month=2026-13&colour=red&limit=1000") as answer:
        assert answer.status == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = await answer.json()
        assert problem["code"] == "bad-parameter"
        assert {one["parameter"] for one in problem["errors"]} == {"month", "colour", "limit"}


async def test_a_repair_has_its_history_oldest_first(
    api: Any, read_model: Any, repair: Any
) -> None:
    one = repair("A1", "PENDING")
    await read_model.put(1, [one])
    await read_model.history(1, one.repair_id, "recorded", "status-changed")
    async with api.ask(f"{PATH}{one.repair_id}/") as answer:
        found = await answer.json()
    assert found["repair_id"] == str(one.repair_id)
    assert [line["what"] for line in found["history"]] == ["recorded", "status-changed"]
    line = found["history"][0]
    assert set(line) == {"revision", "what", "when", "accepted_at", "by", "status", "reason"}
    assert (line["by"], line["status"], line["reason"]) == ("company", "PENDING", "why")
    assert found["history_complete"] is True


async def test_of_a_long_history_the_newest_is_told_and_that_there_was_more(
    api: Any, read_model: Any, repair: Any
) -> None:
    one = repair("A1", "PENDING")
    await read_model.put(1, [one])
    facts = ["recorded", *["corrected"] * (HISTORY_LINES - 1)]
    for added in range(2):
        await read_model.history(1, one.repair_id, *facts, after=added * HISTORY_LINES)
        facts = ["status-changed"]
        async with api.ask(f"{PATH}{one.repair_id}/") as answer:
            found = await answer.json()
        revisions = [line["revision"] for line in found["history"]]
        assert revisions == list(range(added + 1, added + HISTORY_LINES + 1))
        assert found["history_complete"] is (added == 0)
        async with api.ask(f"/customer/repairs/{one.repair_id}/") as answer:
            text = await answer.text()
        assert text.count('<p class="what">') == HISTORY_LINES
        assert ("Recorded as" in text) is (added == 0)
        assert ("the newest 1,000 entries; older ones are not shown" in text) is (added == 1)


async def test_a_repair_that_moved_shows_its_new_owner_nothing_of_the_old(
    api: Any, read_model: Any, repair: Any
) -> None:
    here = repair("A1", "PENDING")
    gone = repair("A1", "PENDING", notes="ours", removed=True, repair_id=here.repair_id)
    await read_model.put(1, [gone])
    await read_model.put(2, [here])
    await read_model.history(1, here.repair_id, "recorded", "removed")
    await read_model.history(2, here.repair_id, "recorded")
    async with api.ask(f"{PATH}{here.repair_id}/", 1) as answer:
        assert answer.status == 404
    async with api.ask(f"{PATH}{here.repair_id}/", 2) as answer:
        found = await answer.json()
    assert (found["customer_notes"], found["requested_by"]) == ("", "company")
    assert [line["what"] for line in found["history"]] == ["recorded"]


async def test_what_is_removed_or_no_repair_is_404(api: Any, read_model: Any, repair: Any) -> None:
    gone = repair(removed=True)
    await read_model.put(1, [gone])
    for name in (str(gone.repair_id), "abc", "0", "x" * 64, str(gone.repair_id)[:-1]):
        async with api.ask(f"{PATH}{name}/") as answer:
            assert answer.status == 404
            assert (await answer.json())["code"] == "repair-unknown"


async def test_a_profile_is_the_customers_own(api: Any, read_model: Any) -> None:
    await read_model.put(1, [], name="Mine & Co")
    async with api.ask(PROFILE) as answer:
        profile = await answer.json()
        assert profile.pop("etag") == f'"{profile_tag(Customer(**profile))}"'
        assert profile == {
            "customer_id": 1,
            "name": "Mine & Co",
            "email": "",
            "phone": "",
            "address": "",
            "city": "Joliet",
            "state": "",
            "postal_code": "",
        }
    async with api.ask(PROFILE, 2) as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "customer-unknown"


async def test_lists_carry_the_state_and_are_304_when_known(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.put(2, a_fleet, revision=12)
    await read_model.as_of(1, datetime(2026, 1, 1, tzinfo=UTC))
    for path in (PATH, f"{PATH}?unit=A1", f"{PATH}{a_fleet[0].repair_id}/", PROFILE):
        async with api.ask(path) as answer:
            tag = answer.headers["ETag"]
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert answer.headers["Vary"] == "Cookie"
            assert answer.headers["Portal-Revision"] == "12"
            assert int(answer.headers["Portal-Lag"]) > timedelta(days=30).total_seconds()
        async with api.ask(path, If_None_Match=f"W/{tag}") as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with api.ask(path, 2, If_None_Match=tag) as answer:
            assert answer.status != 304


async def test_nothing_older_than_was_seen_is_shown_anywhere(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet, refold=3)

    async def status(path: str, **seen: str) -> int:
        async with api.ask(path, **seen) as answer:
            return int(answer.status)

    paths = (PATH, f"{PATH}{a_fleet[0].repair_id}/", PROFILE, f"{PATH}?status=PENDING")
    for path in paths:
        assert await status(path, Portal_Min_Revision="12", Portal_Refold="3") == 200
        assert await status(path, Portal_Min_Revision="99", Portal_Refold="2") == 200
        assert await status(path, Portal_Min_Revision="-1") == 400
        assert await status(path, Portal_Min_Revision="1", Portal_Refold="9" * 20) == 400
    late = [status(path, Portal_Min_Revision="13", Portal_Refold="3") for path in paths]
    late += [status(path, Portal_Min_Revision="1", Portal_Refold="4") for path in paths]
    assert await asyncio.gather(*late) == [503] * len(late)


async def test_an_own_change_is_waited_for(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet[:11])
    asked = asyncio.create_task(seen_list(api, "12"))
    while not api.parts.revisions.watchers(1):  # noqa: ASYNC110 - it looks at the process
        await asyncio.sleep(0.01)
    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    assert await asked == 12


async def seen_list(api: Any, revision: str) -> int:
    async with api.ask(PATH, Portal_Min_Revision=revision, Portal_Refold="1") as answer:
        assert answer.status == 200
        return len((await answer.json())["repairs"])


async def test_methods_that_change_are_not_ours(api: Any) -> None:
    for path in (PATH, PROFILE, "/customer/dashboard/"):
        async with api.ask(path, method="POST") as answer:
            assert answer.status == 405
            assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


async def test_a_path_without_its_slash_is_no_path(api: Any) -> None:
    for path in (PATH, PROFILE, "/customer/dashboard/", "/customer/api/unit-repair-data/"):
        async with api.ask(path.rstrip("/")) as answer:
            assert answer.status == 404


async def test_the_role_of_the_query_api_can_only_read(database: Any, read_model: Any) -> None:
    connection = await asyncpg.connect(database.query_url)
    await connection.execute("SET default_transaction_read_only = off")
    for statement in (
        "DELETE FROM portal.repair",
        "UPDATE portal.customer SET revision = 1",
        "INSERT INTO portal.repair_count VALUES (1, 0, 'x', 1)",
        "TRUNCATE portal.repair_history",
        "SELECT * FROM writer.customer",
        "SELECT * FROM gateway.session",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()
