import asyncio
import itertools
import json
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from portal_query.document import MONTHS, STATUS_LIST, UNITS, VIEWS, Counts, Version, render
from portal_query.read_model.documents import Documents, ReadModelAwayError
from portal_query.read_model.redis import (
    AS_OF_KEY,
    CacheAwayError,
    DocumentCache,
    Hint,
    key_of,
)
from repair_events.topic import partition
from service_runtime.postgres import create_pool
from service_runtime.redis import create_redis

LIST = "/customer/api/unit-repair-data/"


def document(refold: int, revision: int, **more: Any) -> Any:
    return render(Counts(1, refold, revision, "e", units=[(f"{refold}.{revision}", 1)], **more))


@pytest.fixture
async def cache(redis_url: str) -> Any:
    client = create_redis(redis_url)
    yield DocumentCache(client)
    await client.aclose()


async def held(cache: Any) -> str | None:
    found = await cache.read(1, partition(1), UNITS)
    return None if found is None else json.loads(found.body)[0]["unit_number"]


async def test_only_a_newer_document_is_taken(cache: Any) -> None:
    assert await held(cache) is None
    for refold, revision, then in (
        (1, 5, "1.5"),
        (1, 4, "1.5"),
        (1, 5, "1.5"),
        (1, 6, "1.6"),
        (2, 1, "2.1"),
        (1, 99, "2.1"),
        (1_790_000_000_001, 3, "1790000000001.3"),
        (1_790_000_000_000, 9, "1790000000001.3"),
        # Lua's numbers, doubles, cannot tell these apart.
        (2**53, 5, f"{2**53}.5"),
        (2**53 + 1, 3, f"{2**53 + 1}.3"),
        (2**53, 9, f"{2**53 + 1}.3"),
    ):
        await cache.put_many([document(refold, revision)])
        assert await held(cache) == then


async def test_any_order_of_arrival_ends_with_the_newest(cache: Any) -> None:
    versions = [(r, n) for r in (1, 2, 3) for n in range(20)]
    await asyncio.gather(*(cache.put_many([document(*v)]) for v in reversed(versions)))
    assert await held(cache) == "3.19"


async def test_a_standing_document_replaces_the_same_version_and_not_the_other_way(
    cache: Any,
) -> None:
    await cache.put_many([document(1, 5)])
    assert await cache.put_many([document(1, 5, frozen=True)]) == 1
    assert await cache.put_many([document(1, 5)]) == 0
    assert (await cache.read(1, partition(1), UNITS)).frozen == "unknown"
    assert await cache.put_many([document(2, 5)]) == 1


async def test_a_document_is_gone_in_a_minute(cache: Any, redis_url: str) -> None:
    await cache.put_many([document(1, 5)])
    async with create_redis(redis_url) as client:
        assert 55 <= await client.ttl(key_of(1)) <= 60


async def test_many_documents_go_in_parts_and_come_back_whole(cache: Any) -> None:
    documents = [
        render(Counts(n, 1, 1, "e", units=[("x" * 50 + str(i), 1) for i in range(n % 200)]))
        for n in range(1, 501)
    ]
    assert await cache.put_many(documents) == 500
    asked = [(n, view) for n in range(1, 501) for view in VIEWS]
    found = await asyncio.gather(*(cache.read(n, partition(n), view) for n, view in asked))
    for (n, view), one in zip(asked, found, strict=True):
        assert one.body == documents[n - 1].bodies[view]


async def test_the_views_of_one_moment_are_of_one_version(cache: Any) -> None:
    stop = False

    async def publish() -> None:
        n = 0
        while not stop:
            n += 1
            await cache.put_many([document(1, n)])

    publisher = asyncio.ensure_future(publish())
    for _ in range(200):
        views = (UNITS, MONTHS, STATUS_LIST)
        found = await asyncio.gather(*(cache.read(1, partition(1), view) for view in views))
        assert len({one and one.tag for one in found}) == 1
    stop = True
    await publisher


async def test_the_time_of_a_partition_can_be_said(cache: Any) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    await cache.put_many([document(1, 5)])
    assert (await cache.read(1, partition(1), UNITS)).as_of is None
    await cache.put_as_of({partition(1): moment})
    assert (await cache.read(1, partition(1), UNITS)).as_of == moment


async def test_a_hint_tells_of_what_was_taken_and_of_nothing_else(
    cache: Any, eventually: Any
) -> None:
    hints = cache.hints()
    first = asyncio.ensure_future(anext(hints))
    revisions = itertools.count(1)

    async def heard() -> bool:
        await cache.put_many([document(1, next(revisions))])
        return bool(first.done())

    await eventually(heard)
    last = next(revisions) + 1
    await cache.put_many([document(1, last)])
    await cache.put_many([document(1, 0), document(1, last), document(5, 6)])
    async with asyncio.timeout(5):
        while (hint := await anext(hints)).version < Version(1, last):
            pass
        assert hint == Hint(1, Version(1, last))
        assert await anext(hints) == Hint(1, Version(5, 6))
    await hints.aclose()


async def test_a_redis_that_is_away_is_left_alone_for_a_while() -> None:
    tried = 0

    async def refuse(_: Any, writer: Any) -> None:
        nonlocal tried
        tried += 1
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    client = create_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    cache = DocumentCache(client, rest=60)
    for _ in range(5):
        with pytest.raises(CacheAwayError):
            await cache.read(1, 1, UNITS)
    assert 1 <= tried <= 2  # one try, and its one repetition
    await client.aclose()
    server.close()


async def test_without_redis_the_answers_are_the_same(
    database: Any, start_api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    expected = (await read_model.document(1)).bodies[UNITS]
    async with start_api(database.query_url, f"redis://127.0.0.1:{_free_port()}/0") as api:
        for _ in range(3):
            async with api.ask(LIST) as answer:
                assert (answer.status, await answer.read()) == (200, expected)
        # Without a hint as well: a query of Postgres.
        await read_model.put(1, a_fleet[:3], revision=20)
        async with api.ask(LIST, Portal_Min_Revision="20") as answer:
            assert answer.headers["Portal-Revision"] == "20"


async def test_a_redis_that_hangs_costs_a_moment_once(
    database: Any, redis_url: str, start_api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    async with _gate(redis_url) as (url, gate), start_api(database.query_url, url) as api:
        async with api.ask(LIST) as answer:
            assert answer.status == 200
        gate.clear()
        answers = await asyncio.gather(*(_status(api) for _ in range(20)))
        assert answers == [200] * 20
        gate.set()


async def test_what_has_expired_is_put_back(
    api: Any, read_model: Any, a_fleet: Any, eventually: Any
) -> None:
    await read_model.put(1, a_fleet)

    async def is_back() -> bool:
        return await read_model.cache.read(1, partition(1), UNITS) is not None

    assert not await is_back()
    async with api.ask(LIST):
        await eventually(is_back)


async def test_what_is_put_back_too_late_is_noticed(
    api: Any, read_model: Any, a_fleet: Any, repair: Any
) -> None:
    await read_model.put(1, a_fleet)
    older = await read_model.document(1)
    # Meanwhile a newer version was published, and Redis lost it again.
    await read_model.put(1, [*a_fleet, repair("new")])
    await api.parts.documents._put_back(older)
    found = await read_model.cache.read(1, partition(1), UNITS)
    assert found.body == (await read_model.document(1)).bodies[UNITS]


async def test_times_that_redis_has_lost_are_those_of_postgres(
    api: Any, read_model: Any, redis_url: str, a_fleet: Any, eventually: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.publish(1)
    first, second = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))

    async def says(moment: datetime) -> bool:
        async with api.ask(LIST) as answer:
            text = answer.headers.get("Portal-As-Of")
        return text is not None and datetime.fromisoformat(text) == moment

    for moment in (first, second):
        await read_model.as_of(1, moment)
        async with create_redis(redis_url) as client:
            await client.delete(AS_OF_KEY)
        await eventually(lambda moment=moment: says(moment))


async def test_of_whom_no_row_is_there_nothing_is_promised(api: Any, read_model: Any) -> None:
    """The read model was emptied; Redis still holds the old times."""
    await read_model.cache.put_as_of({partition(1): datetime.now(UTC)})
    for _ in range(3):
        async with api.ask(LIST) as answer:
            assert (await answer.read(), answer.status) == (b"[]", 200)
            assert "Portal-As-Of" not in answer.headers
        await api.parts.documents.finish()


async def test_without_postgres_redis_answers_and_what_it_lacks_is_503(
    redis_url: str, start_api: Any, read_model: Any, a_fleet: Any
) -> None:
    await read_model.put(1, a_fleet)
    await read_model.as_of(1, datetime(2026, 1, 1, tzinfo=UTC))
    await read_model.publish(1)
    nowhere = f"postgresql://query:x@127.0.0.1:{_free_port()}/x"
    async with start_api(nowhere, redis_url) as api:
        async with api.ask(LIST) as answer:
            assert answer.status == 200
        async with api.ask(LIST, 2) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert await answer.read() == b'{"error": "Temporarily unavailable"}'
            assert answer.headers["X-Request-Id"]
        for path in ("repair-status-data", "repairs", "profile"):
            async with api.ask(f"/customer/api/{path}/", 2) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "unavailable"
        async with api.ask("/customer/dashboard/", 2) as answer:
            assert answer.status == 503
            assert "cannot show this just now" in await answer.text()


async def _status(api: Any) -> int:
    async with api.ask(LIST) as answer:
        return int(answer.status)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _gate(redis_url: str) -> Any:
    """Stand between the API and Redis; a closed gate holds responses back."""
    at = urlsplit(redis_url)
    gate = asyncio.Event()
    gate.set()
    tasks: set[Any] = set()

    async def pump(reader: Any, writer: Any, *, gated: bool) -> None:
        while data := await reader.read(65_536):
            if gated:
                await gate.wait()
            writer.write(data)
        writer.close()

    async def connect(reader: Any, writer: Any) -> None:
        back_reader, back_writer = await asyncio.open_connection(at.hostname, at.port)
        tasks.add(asyncio.ensure_future(pump(reader, back_writer, gated=False)))
        tasks.add(asyncio.ensure_future(pump(back_reader, writer, gated=True)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user, _, _ = at.netloc.rpartition("@")
    yield f"redis://{user}@127.0.0.1:{port}{at.path or '/0'}", gate
    for task in tasks:
        task.cancel()
    server.close()


@pytest.fixture
async def nowhere() -> Any:
    """Return a pool of a missing Postgres."""
    async with await create_pool("postgresql://x@127.0.0.1:1/x", name="tests", size=1) as pool:
        yield pool


async def test_without_postgres_one_slow_answer_of_redis_is_waited_out(
    cache: Any, nowhere: Any, redis_url: str
) -> None:
    await cache.put_many([document(1, 5)])
    await cache.put_as_of({partition(1): datetime.now(UTC)})
    async with create_redis(redis_url) as client:
        await client.client_pause(600)
    answer = await Documents(cache, nowhere).read(1, UNITS)
    assert json.loads(answer.body)[0]["unit_number"] == "1.5"


async def test_without_postgres_and_redis_there_is_no_answer(nowhere: Any) -> None:
    async with create_redis("redis://127.0.0.1:1") as client:
        documents = Documents(DocumentCache(client), nowhere)
        with pytest.raises(ReadModelAwayError):
            await documents.read(1, UNITS)
