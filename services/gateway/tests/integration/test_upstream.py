"""Slow, dead or faulty upstreams, over a real socket, with both clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway import connection
from gateway.aiohttp_upstream import AiohttpUpstream
from gateway.keepalive import KeptUpstream
from gateway.testing.wire import Received, WireService, answer, raw, silent
from gateway.upstream import (
    Call,
    Upstream,
    UpstreamAwayError,
    UpstreamBrokenError,
    UpstreamBusyError,
)
from service_runtime.testing import eventually

Make = Callable[[str], Upstream]
GET = Call("GET", b"/x/?a=1", [(b"accept", b"*/*")])
POST = Call("POST", b"/x/", [(b"content-type", b"application/json")], b'{"a": 1}')


@pytest.fixture
async def service() -> AsyncIterator[WireService]:
    async with WireService() as running:
        yield running


@pytest.fixture(params=["kept", "aiohttp"])
async def upstream(request: Any, service: WireService) -> AsyncIterator[Upstream]:
    made: Upstream = (
        KeptUpstream(service.url, connections=4)
        if request.param == "kept"
        else AiohttpUpstream(service.url, connections=4, idle_seconds=5)
    )
    yield made
    await made.close()


@pytest.fixture
async def kept(service: WireService) -> AsyncIterator[KeptUpstream]:
    made = KeptUpstream(service.url, connections=4)
    yield made
    await made.close()


async def whole(upstream: Upstream, call: Call = GET) -> tuple[int, bytes]:
    reply = await upstream.send(call)
    try:
        body, complete = await reply.beginning(1_000_000)
    finally:
        reply.close()
    assert complete
    return reply.status, body


async def test_an_answer_comes_back_with_its_headers(
    upstream: Upstream, service: WireService
) -> None:
    service.on("/x/", answer(b"hello", 201, etag='"1"'))

    reply = await upstream.send(GET)

    assert reply.status == 201
    assert (b"etag", b'"1"') in reply.headers
    assert await reply.beginning(100) == (b"hello", True)


async def test_only_what_was_said_is_sent(upstream: Upstream, service: WireService) -> None:
    await whole(upstream)
    await whole(upstream, POST)

    get, post = service.received
    assert (get.method, get.target, get.body) == ("GET", "/x/?a=1", b"")
    assert {name.lower() for name, _ in get.headers} == {"host", "accept"}
    assert post.body == b'{"a": 1}'
    assert post.header("content-length") == "8"
    assert {name.lower() for name, _ in post.headers} == {"host", "content-type", "content-length"}


async def test_a_connection_is_kept_for_the_next_call(
    upstream: Upstream, service: WireService
) -> None:
    for _ in range(5):
        await whole(upstream)

    assert service.connections == 1


async def test_a_chunked_answer_is_put_together(upstream: Upstream, service: WireService) -> None:
    service.on("/x/", raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                          b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"))  # fmt: skip

    assert await whole(upstream) == (200, b"hello world")
    assert await whole(upstream) == (200, b"hello world")


async def test_an_answer_without_a_body_is_whole(upstream: Upstream, service: WireService) -> None:
    service.on("/x/", raw(b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n'))

    assert await whole(upstream) == (304, b"")
    assert await whole(upstream) == (304, b"")


async def test_a_long_answer_comes_in_parts(upstream: Upstream, service: WireService) -> None:
    body = bytes(range(256)) * 20_000
    service.on("/x/", answer(body))
    reply = await upstream.send(GET)

    first, complete = await reply.beginning(100_000)
    rest = [part async for part in reply.chunks()]

    assert not complete
    assert first + b"".join(rest) == body


async def test_redirects_are_not_followed(upstream: Upstream, service: WireService) -> None:
    service.on("/x/", answer(b"", 302, location="/elsewhere/"))

    assert (await whole(upstream))[0] == 302
    assert [request.target for request in service.received] == ["/x/?a=1"]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: a\rb\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\nhello",
    ],
    ids=["no http", "two lengths", "bare CR", "a megabyte of header"],
)
async def test_an_answer_that_is_no_http_is_broken_and_its_connection_gone(
    kept: KeptUpstream, service: WireService, nonsense: bytes
) -> None:
    service.on("/x/", raw(nonsense))
    with pytest.raises(UpstreamBrokenError):
        await whole(kept)

    service.on("/x/", answer(b"fine"))

    assert await whole(kept) == (200, b"fine")
    assert service.connections == 2


async def test_a_body_that_breaks_off_is_never_whole(
    upstream: Upstream, service: WireService
) -> None:
    service.on("/x/", raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", close=True))

    with pytest.raises(UpstreamBrokenError):
        await whole(upstream)


async def test_a_chunked_body_that_breaks_off_is_never_whole(
    upstream: Upstream, service: WireService
) -> None:
    service.on(
        "/x/",
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True),
    )

    with pytest.raises(UpstreamBrokenError):
        await whole(upstream)


async def test_more_than_was_said_is_broken(kept: KeptUpstream, service: WireService) -> None:
    two = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    service.on("/x/", raw(two + two))

    with pytest.raises(UpstreamBrokenError):
        await whole(kept)


async def test_a_body_without_a_length_is_broken(kept: KeptUpstream, service: WireService) -> None:
    service.on("/x/", raw(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True))

    with pytest.raises(UpstreamBrokenError):
        await whole(kept)


async def test_an_answer_that_closes_is_not_followed_by_another(
    kept: KeptUpstream, service: WireService
) -> None:
    service.on("/x/", raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"))

    assert await whole(kept) == (200, b"ok")
    assert await whole(kept) == (200, b"ok")
    assert service.connections == 2


async def test_a_get_is_asked_again_when_the_kept_connection_was_dead(
    upstream: Upstream, service: WireService
) -> None:
    await whole(upstream)
    service.drop_connections()

    assert (await whole(upstream))[0] == 200
    assert service.connections == 2


async def drop_at_second(request: Received, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_a_get_that_kills_a_kept_connection_is_asked_only_once_more(
    kept: KeptUpstream, service: WireService
) -> None:
    await whole(kept)
    service.on("/x/", drop_at_second)

    with pytest.raises(UpstreamAwayError):
        await whole(kept)

    assert len(service.received) == 3


async def test_a_change_is_never_sent_twice(kept: KeptUpstream, service: WireService) -> None:
    await whole(kept)
    service.on("/x/", drop_at_second)

    with pytest.raises(UpstreamAwayError):
        await whole(kept, POST)

    assert [request.method for request in service.received] == ["GET", "POST"]


async def test_nobody_there_is_away() -> None:
    for upstream in (
        KeptUpstream("http://127.0.0.1:1", connections=2),
        AiohttpUpstream("http://127.0.0.1:1", connections=2, idle_seconds=1),
    ):
        with pytest.raises(UpstreamAwayError):
            await upstream.send(GET)
        await upstream.close()


async def test_silence_is_away_after_the_time_that_a_service_is_given(
    service: WireService,
) -> None:
    hasty = KeptUpstream(service.url, connections=2, head_seconds=0.1)
    service.on("/x/", silent)

    with pytest.raises(UpstreamAwayError):
        await hasty.send(GET)

    service.on("/x/", answer(b"again"))
    assert await whole(hasty) == (200, b"again")
    await hasty.close()


async def test_a_reading_is_asked_again_when_a_new_connection_closes_without_an_answer(
    kept: KeptUpstream, service: WireService
) -> None:
    async def replaced(_: Received, writer: asyncio.StreamWriter) -> None:
        service.on("/x/", answer(b"the next process"))
        writer.close()

    service.on("/x/", replaced)

    assert await whole(kept) == (200, b"the next process")
    assert service.connections == 2


async def test_silence_in_the_midst_of_a_body_is_away(
    kept: KeptUpstream, service: WireService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def half(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello")
        await silent(request, writer)

    monkeypatch.setattr(connection, "_SILENCE_SECONDS", 0.1)
    service.on("/x/", half)
    reply = await kept.send(GET)

    with pytest.raises(UpstreamAwayError):
        await reply.beginning(100)

    reply.close()


async def test_a_full_pool_is_away_and_room_comes_back(
    kept: KeptUpstream, service: WireService
) -> None:
    service.on("/slow/", silent)
    slow = [asyncio.create_task(kept.send(Call("GET", b"/slow/", []))) for _ in range(4)]
    await asyncio.sleep(0.05)

    with pytest.raises(UpstreamAwayError, match="in use"):
        await kept.send(GET)

    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert (await whole(kept))[0] == 200


async def test_a_caller_that_gives_up_leaves_no_answer_for_the_next(
    kept: KeptUpstream, service: WireService
) -> None:
    async def late(_: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await answer(b"somebody else's")(_, writer)

    service.on("/late/", late)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await kept.send(Call("GET", b"/late/", []))
    service.on("/x/", answer(b"mine"))

    for _ in range(3):
        assert await whole(kept) == (200, b"mine")


async def test_many_at_once_share_few_connections(kept: KeptUpstream, service: WireService) -> None:
    service.on("/x/", answer(b"ok"))

    answers = await asyncio.gather(*(whole(kept) for _ in range(200)))

    assert set(answers) == {(200, b"ok")}
    assert service.connections <= 4


async def test_what_a_service_says_unasked_is_not_an_answer(
    kept: KeptUpstream, service: WireService
) -> None:
    async def and_more(_: Received, writer: asyncio.StreamWriter) -> None:
        await answer(b"mine")(_, writer)
        await asyncio.sleep(0.05)
        await answer(b"poison")(_, writer)

    service.on("/x/", and_more)
    assert await whole(kept) == (200, b"mine")
    await asyncio.sleep(0.2)
    service.on("/x/", answer(b"fresh"))

    assert await whole(kept) == (200, b"fresh")


async def test_a_call_cancelled_at_any_step_gives_its_place_back(
    kept: KeptUpstream, service: WireService
) -> None:
    for step in range(12):
        for _ in range(5):  # one more than there are places
            call = asyncio.ensure_future(whole(kept))
            for _ in range(step):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    assert kept._room._value == 4
    assert [status for status, _ in await asyncio.gather(*(whole(kept) for _ in range(4)))] == [
        200
    ] * 4


async def test_a_pool_that_is_full_is_told_from_a_service_that_is_away(
    kept: KeptUpstream, service: WireService
) -> None:
    service.on("/x/", silent)
    taken = [asyncio.ensure_future(whole(kept)) for _ in range(4)]

    async def all_taken() -> bool:
        return kept._room.locked()

    await eventually(all_taken, "all places are taken")
    with pytest.raises(UpstreamBusyError):
        await whole(kept)
    for call in taken:
        call.cancel()
    await asyncio.gather(*taken, return_exceptions=True)
