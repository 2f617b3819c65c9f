import asyncio
import re
from typing import Any

import asyncpg
import msgspec
import pytest

from repair_writer.callers import KeyRing, new_key, parse_key
from repair_writer.key_admin import KeyGrant, KeyRefusedError, adopt_key, create_key, end_key
from repair_writer.store.audit import Operator
from repair_writer.store.keys import list_keys

APP = KeyGrant(client="app", scopes=frozenset({"repairs:read"}))
BY = Operator(name="test", machine="localhost")


async def test_without_a_good_key_there_is_no_answer(writer: Any) -> None:
    good = writer.key
    wrong_secret = good[:-1] + ("A" if good[-1] != "A" else "B")
    for header in (
        "", "Bearer", "Bearer x", f"Basic {good}", good, f"Bearer {wrong_secret}",
        f"Bearer {new_key().text}", f"Bearer {good} x", "Bearer rsw_live_", f"Bearer {good}\u00e9",
    ):  # fmt: skip
        for path in ("/v1/heads", "/v1/repairs", "/openapi.json"):
            answer = await writer.call("GET", path, headers={"Authorization": header})
            assert (answer.status, answer.code) == (401, "unauthorized"), header
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await writer.call("GET", "/v1/heads")).status == 200


async def test_each_route_wants_its_scope(writer: Any) -> None:
    repair = await writer.recorded()
    one = f"/v1/repairs/{repair['repair_id']}"
    needed = {
        "repairs:write": [("POST", "/v1/repairs"), ("PATCH", one), ("DELETE", one),
                          ("POST", f"{one}/status"), ("POST", f"{one}/restore"),
                          ("POST", "/v1/repairs/import")],
        "repairs:read": [("GET", one), ("GET", "/v1/repairs"), ("GET", "/v1/customers/7")],
        "customers:write": [("PUT", "/v1/customers/7")],
        "history:read": [("GET", "/v1/customers/7/events"), ("GET", "/v1/heads"),
                         ("GET", "/v1/progress")],
    }  # fmt: skip
    for number, scope in enumerate(needed):
        others = [other for other in needed if other != scope]
        without = await writer.make_key(*others, client=f"without-{number}")
        with_it = await writer.make_key(scope, client=f"with-{number}")
        for method, path in needed[scope]:
            refused = await writer.call(method, path, key=without)
            assert (refused.status, refused.code) == (403, "scope")
            assert scope in refused.json["detail"]
            assert (await writer.call(method, path, key=with_it)).status not in {401, 403}


async def test_a_revoked_and_an_expired_key_are_refused_at_the_next_request(writer: Any) -> None:
    key = await writer.make_key("history:read")
    key_id = key.split("_")[2]
    assert (await writer.call("GET", "/v1/heads", key=key)).status == 200
    assert await end_key(writer.pool, key_id, BY)
    assert not await end_key(writer.pool, key_id, BY)
    assert (await writer.call("GET", "/v1/heads", key=key)).code == "unauthorized"
    expired = await writer.make_key("history:read", client="expired")
    await writer.pool.execute(
        "UPDATE writer.api_key SET expires_at = now() - interval '1 second' WHERE client = 'expired'"
    )
    assert (await writer.call("GET", "/v1/heads", key=expired)).code == "unauthorized"


async def test_two_keys_of_a_client_live_at_once_and_no_third(writer: Any) -> None:
    first, second = new_key(), new_key()
    for key in (first, second):
        await create_key(writer.pool, key, APP, 30, BY)
    with pytest.raises(KeyRefusedError, match="live keys"):
        await create_key(writer.pool, new_key(), APP, 30, BY)
    await end_key(writer.pool, first.key_id, BY)
    await create_key(writer.pool, new_key(), APP, 30, BY)


async def test_only_two_of_many_at_once_are_made(writer: Any) -> None:
    made = await asyncio.gather(
        *(create_key(writer.pool, new_key(), APP, 30, BY) for _ in range(6)),
        return_exceptions=True,
    )
    assert sum(result is None for result in made) == 2


async def test_a_key_that_was_made_elsewhere_is_taken_over_again_and_again(writer: Any) -> None:
    key = new_key()
    for _ in range(2):
        await adopt_key(writer.pool, key, APP, 30, BY)
    assert (
        await writer.call("GET", "/v1/repairs?source=a&source_ref=b", key=key.text)
    ).status == 404
    await adopt_key(
        writer.pool, key, msgspec.structs.replace(APP, scopes=frozenset({"history:read"})), 30, BY
    )
    assert (await writer.call("GET", "/v1/heads", key=key.text)).status == 200
    with pytest.raises(KeyRefusedError, match="another"):
        await adopt_key(writer.pool, key, msgspec.structs.replace(APP, client="billing"), 30, BY)
    await end_key(writer.pool, key.key_id, BY)
    with pytest.raises(KeyRefusedError, match="revoked"):
        await adopt_key(writer.pool, key, APP, 30, BY)


async def test_secrets_are_not_kept(writer: Any) -> None:
    key = new_key()
    await create_key(writer.pool, key, APP, 30, BY)
    row = str(
        await writer.pool.fetchrow("SELECT t::text FROM writer.api_key t WHERE client = 'app'")
    )
    assert key.secret not in row
    assert parse_key(key.text) == key
    assert re.fullmatch(r"rsw_live_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", key.text)


async def test_the_store_learns_which_keys_are_used(writer: Any) -> None:
    ring = KeyRing(writer.pool)
    await ring.caller_of(writer.key)
    await ring.note_uses()
    async with writer.pool.acquire() as connection:
        (row,) = await list_keys(connection)
    assert row.last_used_at is not None
    assert row.live


async def test_a_use_waits_for_a_store_that_fails(writer: Any, database: Any) -> None:
    ring = KeyRing(writer.pool)
    await ring.caller_of(writer.key)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("ALTER TABLE writer.api_key RENAME TO lost")
        with pytest.raises(asyncpg.UndefinedTableError):
            await ring.note_uses()
        await owner.execute("ALTER TABLE writer.lost RENAME TO api_key")
    finally:
        await owner.close()
    await ring.note_uses()
    async with writer.pool.acquire() as connection:
        (row,) = await list_keys(connection)
    assert row.last_used_at is not None


async def test_look_ups_that_arrive_together_are_asked_together(writer: Any) -> None:
    ring = KeyRing(writer.pool)
    nobody = new_key().text
    callers = await asyncio.gather(*(ring.caller_of(key) for key in [writer.key, nobody] * 50))
    assert [caller is not None for caller in callers] == [True, False] * 50
