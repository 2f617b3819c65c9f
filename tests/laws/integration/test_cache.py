"""Cached counts in any order leave the newest in a real Valkey; the cache in memory does the same."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws.world.cache import MemoryRedis, Server
from tests.laws.world.calls import Process
from tests.laws.world.instant import Instant

from portal_query.document import VIEWS, Document
from portal_query.read_model.redis import LIFE_SECONDS, DocumentCache, key_of
from service_runtime.redis import create_redis

CUSTOMERS = (1, 2)


def document(customer: int, refold: int, revision: int, frozen: str) -> Document:
    body = b'[{"at": "%d.%d%b"}]' % (refold, revision, frozen.encode())
    tag = f"{customer}.{refold}.{revision}.{frozen or 'flows'}"
    return Document(customer, refold, revision, tag, frozen, dict.fromkeys(VIEWS, body))


documents = st.builds(
    document,
    st.sampled_from(CUSTOMERS),
    st.integers(1, 3),
    st.integers(0, 4),
    st.sampled_from(["", "", "unknown"]),
)


async def put(url: str, batches: list[list[Document]]) -> None:
    client = create_redis(url)
    server = Server(lambda: 0.0)
    imagined: Any = MemoryRedis(Instant(), Process("laws"), server)
    real, memory = DocumentCache(client), DocumentCache(imagined)
    newest: dict[int, Document] = {}
    try:
        await client.delete(*map(key_of, CUSTOMERS))
        for batch in batches:
            assert await real.put_many(batch) == await memory.put_many(batch)
            for one in batch:
                held = newest.get(one.customer_id)
                rank = (one.version, bool(one.frozen))
                if held is None or rank > (held.version, bool(held.frozen)):
                    newest[one.customer_id] = one
            for customer in CUSTOMERS:
                expected, imagined_one = newest.get(customer), server.get(customer)
                found = await client.hgetall(key_of(customer))
                if expected is None:
                    assert (found, imagined_one) == ({}, None)
                    continue
                assert found[b"tag"] == expected.tag.encode()
                assert found[b"units"] == expected.bodies["units"]
                assert imagined_one is not None
                assert imagined_one.tag == expected.tag
                assert 0 < await client.ttl(key_of(customer)) <= LIFE_SECONDS
            assert await real.versions(CUSTOMERS) == await memory.versions(CUSTOMERS)
    finally:
        await client.aclose()


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(st.lists(documents, min_size=1, max_size=4), max_size=8))
def test_in_whatever_order_they_come_the_newest_document_stays(
    redis_url: str, batches: list[list[Document]]
) -> None:
    asyncio.run(put(redis_url, batches))
