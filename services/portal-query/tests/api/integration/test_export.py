"""The file of a list: the same repairs as the list, harmless to a spreadsheet, always complete."""

import asyncio
import csv
import io
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

PATH = "/customer/api/repairs/export.csv"


async def exported(api: Any, query: str = "", customer_id: int = 1) -> list[dict[str, str]]:
    async with api.ask(PATH + query, customer_id) as answer:
        assert answer.status == 200, await answer.text()
        return lines_of(await answer.read())


def lines_of(body: bytes) -> list[dict[str, str]]:
    text = body.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_a_file_says_what_it_is(api: Any, read_model: Any, repair: Any) -> None:
    one = repair("A1", "PENDING", datetime(2026, 2, 1, 3, tzinfo=UTC), "12.30", 'a "b",\nc', "é")
    await read_model.put(1, [one])
    async with api.ask(PATH) as answer:
        body = await answer.read()
        today = datetime.now(ZoneInfo("America/Chicago")).date()
        named = f'attachment; filename="repairs-{today}.csv"'
        assert answer.headers["Content-Disposition"] == named
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Content-Length"] == str(len(body))
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Portal-Revision"] == "1"
        assert "ETag" not in answer.headers
    assert body.startswith(b"\xef\xbb\xbfrepair_id,unit_number,repair_date,status,")
    assert body.endswith(b"\r\n")
    assert lines_of(body) == [
        {
            "repair_id": str(one.repair_id),
            "unit_number": "A1",
            "repair_date": "2026-01-31",
            "status": "PENDING",
            "damage_type": "",
            "description": 'a "b",\nc',
            "customer_notes": "é",
            "cost": "12.30",
            "requested_by": "company",
            "changed_at": "2026-01-31T21:00:00-06:00",
        }
    ]


async def test_a_file_has_the_lines_of_its_list_in_its_order(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, [*a_fleet, repair("gone", removed=True)])
    await read_model.put(2, [repair("theirs")])
    for query in (
        *("", "?sort=cost", "?sort=-unit_number", "?status=PENDING&status=DENIED", "?unit=A1"),
        *("?month=2026-02", "?from=2026-02-01&to=2026-02-28&sort=changed_at", "?q=chip%201"),
    ):
        async with api.ask(f"/customer/api/repairs/{query}") as answer:
            listed = await answer.json()
        lines = await exported(api, query)
        assert [line["repair_id"] for line in lines] == [
            one["repair_id"] for one in listed["repairs"]
        ]
        assert len(lines) == listed["count"]


async def test_no_cell_is_a_formula(api: Any, read_model: Any, repair: Any) -> None:
    harmless = {
        "=1+1": "'=1+1",
        "+1": "'+1",
        "-1": "'-1",
        "@SUM(A1)": "'@SUM(A1)",
        "\t=1": "'\t'=1",
        "\r=1": "'\r'=1",
        "\n=1": "'\n'=1",
        "\uff1d1": "'\uff1d1",
        "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
        "ordinary;=1+1": "ordinary;'=1+1",
        "\u00a0\ufeff=1": "'\u00a0\ufeff=1",
    }
    repairs = [repair(f"={text}", description=text, notes=text) for text in harmless]
    await read_model.put(1, repairs)
    found = {line["repair_id"]: line for line in await exported(api)}
    for one in repairs:
        line = found[str(one.repair_id)]
        assert line["description"] == line["customer_notes"] == harmless[one.notes]
        assert line["unit_number"].startswith("'=")


async def test_what_a_list_cannot_be_asked_its_file_cannot_either(api: Any) -> None:
    for query in ("month=2023-13", "limit=10", "cursor=bm8", "colour=red", "from=2026-2-1"):
        async with api.ask(f"{PATH}?{query}") as answer:
            assert answer.status == 400
            named = [one["parameter"] for one in (await answer.json())["errors"]]
            assert named == [query.partition("=")[0]]


async def test_a_file_waits_for_what_was_seen(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(PATH, Portal_Min_Revision="13", Portal_Refold="1") as answer:
        assert answer.status == 503
        assert (await answer.json())["code"] == "revision-not-reached"


async def test_a_file_that_postgres_did_not_finish_is_no_file(
    api: Any, read_model: Any, database: Any, repair: Any
) -> None:
    await long_list(read_model, repair, 20_000)
    superuser = await asyncpg.connect(database.owner_url)
    asked = asyncio.create_task(exported_status(api))
    killed = 0
    async with asyncio.timeout(30):
        while not killed:
            killed = await superuser.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'query'"
                " AND state LIKE 'idle in transaction' AND query NOT LIKE 'SET%'"
                " AND query NOT LIKE 'BEGIN%'"
            )
    await superuser.close()
    status, body = await asked
    assert (status, b"repair_id" in body) == (503, False)
    async with api.ask(PATH) as answer:  # and nothing of it is left behind
        assert len(lines_of(await answer.read())) == 20_001


async def test_readers_who_leave_take_nobodys_place(api: Any, read_model: Any, repair: Any) -> None:
    await long_list(read_model, repair, 5_000)
    for _ in range(10):  # more than there are places
        async with api.ask(PATH) as answer:
            assert answer.status == 200
            await answer.content.readline()
            answer.close()
    assert len(await exported(api)) == 5_001


async def long_list(read_model: Any, repair: Any, more: int) -> None:
    await read_model.put(1, [repair()])
    await read_model.connection.execute(
        "INSERT INTO portal.repair SELECT 1, gen_random_uuid(), unit_number, repair_date, month,"
        " status, description, damage_type, cost, repeat('x', 1000), requested_by, batch_id,"
        " removed, revision, event_id, recorded_at, changed_at"
        f" FROM portal.repair, generate_series(1, {more})"
    )


async def exported_status(api: Any) -> tuple[int, bytes]:
    async with api.ask(PATH) as answer:
        return answer.status, await answer.read()
