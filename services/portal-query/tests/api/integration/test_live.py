import asyncio
import json
from typing import Any

EVENTS = "/customer/api/events/"


class Reader:
    """Reads a stream of events as a browser does."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.alive = 0

    async def next(self) -> dict[str, str]:
        """Return the fields of the next block other than a heartbeat."""
        async with asyncio.timeout(10):
            while True:
                fields: dict[str, str] = {}
                while line := (await self.answer.content.readline()).decode().rstrip("\n"):
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                self.alive += fields.get("event") == "alive"
                if fields.get("event") != "alive":
                    return fields


async def test_a_stream_says_where_it_stands_and_then_each_newer_revision(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet, refold=3)
    async with api.ask(EVENTS) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        reader = Reader(answer)
        assert await reader.next() == {"retry": "2000"}
        first = await reader.next()
        assert (first["event"], first["id"]) == ("revision", "3.12")
        assert json.loads(first["data"]) == {"customer": "1", "refold": "3", "revision": 12}
        await read_model.put(1, [*a_fleet, repair()], refold=3)
        await read_model.publish(1)
        assert (await reader.next())["id"] == "3.13"
        await read_model.put(1, a_fleet[:2], refold=4)  # without a hint: a query of Postgres
        assert (await reader.next())["id"] == "4.2"


async def test_a_quiet_stream_says_that_the_server_is_there(
    api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(EVENTS) as answer:
        reader = Reader(answer)
        assert "retry" in await reader.next()
        assert "id" in await reader.next()
        quiet = asyncio.create_task(reader.next())
        async with asyncio.timeout(9):
            while not reader.alive:  # noqa: ASYNC110 - it looks at a stream
                await asyncio.sleep(0.1)
        await read_model.put(1, a_fleet, revision=13)
        await read_model.publish(1)
        assert (await quiet)["id"] == "1.13"


async def test_a_stream_tells_nothing_of_others(api: Any, read_model: Any, a_fleet: Any) -> None:
    await read_model.put(1, a_fleet)
    async with api.ask(EVENTS) as answer:
        reader = Reader(answer)
        await reader.next()
        assert (await reader.next())["id"] == "1.12"
        await read_model.put(2, a_fleet, refold=9)
        await read_model.publish(2)
        await read_model.put(1, a_fleet, revision=13)
        await read_model.publish(1)
        assert (await reader.next())["id"] == "1.13"


async def test_streams_end_with_a_word_when_the_process_stops(
    database: Any, redis_url: str, start_api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    async with start_api(database.query_url, redis_url) as api:
        answer = await api.ask(EVENTS)
        reader = Reader(answer)
        assert "retry" in await reader.next()
        assert "id" in await reader.next()
        await api.parts.revisions.close()
        assert await reader.next() == {"retry": "500"}
        assert await answer.content.read() == b""


async def test_there_is_a_limit_to_streams(
    database: Any, redis_url: str, start_api: Any, read_model: Any, eventually: Any
) -> None:
    async with start_api(database.query_url, redis_url, query_max_streams=1) as api:
        async with api.ask(EVENTS) as first:
            await Reader(first).next()
            async with api.ask(EVENTS, 2) as second:
                assert second.status == 503
                assert (await second.json())["code"] == "too-many-streams"

        async def there_is_room() -> bool:
            async with api.ask(EVENTS, 2) as third:
                return bool(third.status == 200)

        await eventually(there_is_room)
