"""Keys bound to sources and customers, and the audit of keys."""

from typing import Any

import asyncpg
import msgspec
import pytest

from repair_writer.callers import KeyRing, new_key
from repair_writer.key_admin import KeyGrant, adopt_key, create_key, end_key
from repair_writer.store.audit import MAX_USES_A_DAY, AuditEntry, Operator, read_audit

ALL = ("repairs:write", "repairs:read", "customers:write", "history:read")
BY = Operator(name="dana", machine="desk-4")


@pytest.fixture
async def foreign(writer: Any) -> dict[str, Any]:
    """Return a repair of customer 7 that the source billing has published."""
    repair: dict[str, Any] = await writer.recorded(source="billing", source_ref="b-1")
    return repair


async def test_a_key_changes_no_repair_of_another_source(
    writer: Any, foreign: dict[str, Any]
) -> None:
    key = await writer.make_key(*ALL, client="app")
    one = f"/v1/repairs/{foreign['repair_id']}"
    stale = {"If-Match": '"0197"'}
    for method, path, body in (
        ("POST", f"{one}/status", {"status": "APPROVED"}),
        ("PATCH", one, {"cost": "1.00"}),
        ("PATCH", one, {"customer_id": 8}),
        ("DELETE", one, {"reason": "x"}),
        ("POST", f"{one}/restore", {}),
    ):
        for headers in ({}, stale):
            refused = await writer.call(method, path, body, key=key, headers=headers)
            assert (refused.status, refused.code) == (403, "scope"), (method, path)
            for word in ("the source app", "another source", "sources:any"):
                assert word in refused.json["detail"]
    assert (await writer.call("GET", one)).json == foreign
    # Reading is not bound to sources.
    assert (await writer.call("GET", one, key=key)).status == 200


async def test_a_key_publishes_under_its_own_sources(writer: Any) -> None:
    key = await writer.make_key(*ALL, client="app", sources=("app-v2", "portal"))
    body = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z"}
    own = await writer.call("POST", "/v1/repairs", body, key=key)
    assert (own.status, own.json["source"]) == (201, "app-v2")
    second = await writer.call("POST", "/v1/repairs", body | {"source": "portal"}, key=key)
    assert (second.status, second.json["source"]) == (201, "portal")
    for source in ("app", "dispatch"):
        refused = await writer.call("POST", "/v1/repairs", body | {"source": source}, key=key)
        assert (refused.status, refused.code) == (403, "scope")
        assert "the sources app-v2, portal" in refused.json["detail"]
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.repair") == 2


async def test_an_import_refuses_lines_of_another_source(
    writer: Any, foreign: dict[str, Any]
) -> None:
    key = await writer.make_key("repairs:write", client="app")
    line = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z"}
    lines = [
        line | {"source_ref": "b-1"},
        line | {"source_ref": "b-1", "source": "billing"},
        line | {"source_ref": "b-2", "source": "billing"},
    ]
    for query in ("?dry_run=true", ""):
        results = (await writer.send_lines(lines, query, key=key)).lines
        assert [one["outcome"] for one in results] == ["recorded", "refused", "refused"]
        assert {one.get("code") for one in results} == {None, "scope"}
    found = await writer.call("GET", f"/v1/repairs/{foreign['repair_id']}")
    assert found.json == foreign


async def test_a_key_of_some_customers_reaches_no_other(writer: Any, check_lists: Any) -> None:
    await writer.put_customer(8)
    await writer.put_customer(9)
    theirs = await writer.recorded(8, source="app", source_ref="moved")
    customers = frozenset({7, 9})
    key = await writer.make_key(*ALL, client="app", customers=customers)
    own = await writer.call(
        "POST", "/v1/repairs", {
            "customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z",
            "source_ref": "1",
        }, key=key,
    )  # fmt: skip
    one, other = f"/v1/repairs/{own.json['repair_id']}", f"/v1/repairs/{theirs['repair_id']}"
    record = {"customer_id": 8, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z"}
    for method, path, body in (
        ("POST", "/v1/repairs", record),
        ("POST", "/v1/repairs", record | {"customer_id": 7, "source_ref": "moved"}),
        ("PATCH", one, {"customer_id": 8}),
        ("PATCH", other, {"cost": "1.00"}),
        ("PATCH", other, {"customer_id": 7}),
        ("GET", other, None),
        ("GET", "/v1/repairs?source=app&source_ref=moved", None),
        ("PUT", "/v1/customers/8", {"name": "Taken over"}),
        ("GET", "/v1/customers/8", None),
        ("GET", "/v1/customers/8/events", None),
        ("GET", "/v1/heads", None),
    ):
        refused = await writer.call(method, path, body, key=key)
        assert (refused.status, refused.code) == (403, "scope"), (method, path)
        assert "bound to" in refused.json["detail"]
    lines = [record | {"source_ref": "new"}, record | {"customer_id": 7, "source_ref": "moved"}]
    results = (await writer.send_lines(lines, key=key)).lines
    assert [one.get("code") for one in results] == ["scope", "scope"]
    assert (await writer.call("PATCH", one, {"customer_id": 9}, key=key)).status == 200
    assert (await writer.call("PUT", "/v1/customers/9", {"name": "N"}, key=key)).status == 200
    assert (await writer.call("GET", "/v1/progress", key=key)).status == 200
    assert (await writer.call("GET", other)).json == theirs
    await check_lists(writer.pool)


async def test_a_kept_answer_is_not_given_to_a_narrower_key(writer: Any) -> None:
    wide = await writer.make_key(*ALL, "sources:any", client="app")
    narrow = await writer.make_key(*ALL, client="app")
    repair = await writer.recorded(source="billing")
    path, change = f"/v1/repairs/{repair['repair_id']}", {"cost": "1.00"}
    first = await writer.call("PATCH", path, change, key=wide, idempotency_key="k")
    again = await writer.call("PATCH", path, change, key=wide, idempotency_key="k")
    assert (first.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    refused = await writer.call("PATCH", path, change, key=narrow, idempotency_key="k")
    assert (refused.status, refused.code) == (403, "scope")


async def test_a_key_of_the_release_before_publishes_under_its_client(writer: Any) -> None:
    key = await writer.make_key(*ALL, client="old", sources=("something",))
    await writer.pool.execute("UPDATE writer.api_key SET sources = NULL WHERE client = 'old'")
    body = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-03-01T14:30:00Z"}
    own = await writer.call("POST", "/v1/repairs", body, key=key)
    assert (own.status, own.json["source"]) == (201, "old")
    other = await writer.call("POST", "/v1/repairs", body | {"source": "x"}, key=key)
    assert (other.status, other.code) == (403, "scope")


async def entries(writer: Any, key_id: str, limit: int = 100) -> list[AuditEntry]:
    async with writer.pool.acquire() as connection:
        return await read_audit(connection, key_id, limit)


async def test_the_audit_says_who_made_changed_and_revoked_a_key(writer: Any) -> None:
    key, other = new_key(), new_key()
    grant = KeyGrant(client="app", scopes=frozenset({"repairs:read"}), customers=frozenset({7}))
    await create_key(writer.pool, key, grant, 30, BY)
    wider = msgspec.structs.replace(grant, customers=None)
    for rights in (wider, wider, wider):
        await adopt_key(writer.pool, key, rights, 30, BY)
    await adopt_key(writer.pool, other, grant, 30, BY)
    assert await end_key(writer.pool, key.key_id, BY)
    assert not await end_key(writer.pool, key.key_id, BY)
    found = await entries(writer, key.key_id)
    assert [one.what for one in found] == [
        "key-revoked", "key-renewed", "key-changed", "key-created",
    ]  # fmt: skip
    assert {(one.client, one.actor, one.origin) for one in found} == {("app", "os:dana", "desk-4")}
    assert found[-1].detail["customers"] == [7]
    assert [one.what for one in await entries(writer, other.key_id)] == ["key-adopted"]
    assert key.secret not in str(found)


async def test_a_use_is_noted_once_a_day_and_address_and_within_bounds(writer: Any) -> None:
    key = new_key()
    await create_key(
        writer.pool, key, KeyGrant(client="app", scopes=frozenset({"repairs:read"})), 30, BY
    )
    ring = KeyRing(writer.pool)
    for _ in range(3):
        for address in ("192.0.2.1", "192.0.2.2"):
            assert await ring.caller_of(key.text, address) is not None
        await ring.note_uses()
    uses = [one for one in await entries(writer, key.key_id) if one.what == "key-used"]
    assert sorted(one.origin for one in uses) == ["192.0.2.1", "192.0.2.2"]
    assert {one.actor for one in uses} == {"internal:app"}
    for start in (0, 100, 200):
        for number in range(50):
            await ring.caller_of(key.text, f"198.51.{start}.{number}")
        await ring.note_uses()
    uses = [one for one in await entries(writer, key.key_id) if one.what == "key-used"]
    assert len(uses) == MAX_USES_A_DAY


async def test_the_use_of_a_key_is_noted_with_the_address_of_its_caller(writer: Any) -> None:
    await writer.call("GET", "/v1/heads")
    await writer.keys.note_uses()
    (use,) = [one for one in await entries(writer, writer.key.split("_")[2]) if "used" in one.what]
    assert use.origin == "127.0.0.1"


@pytest.mark.parametrize(
    ("trusted", "origin"), [((), "127.0.0.1"), (("127.0.0.0/8",), "192.0.2.7")]
)
async def test_only_a_trusted_proxy_names_the_caller(
    serve: Any, trusted: tuple[str, ...], origin: str
) -> None:
    async with serve(trusted_proxies=trusted) as writer:
        headers = {"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
        await writer.call("GET", "/v1/heads", headers=headers)
        await writer.keys.note_uses()
        found = await entries(writer, writer.key.split("_")[2])
        assert [one.origin for one in found if one.what == "key-used"] == [origin]


async def test_the_writers_role_appends_to_the_audit_and_changes_nothing(writer: Any) -> None:
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.audit") == 1
    for statement in (
        "UPDATE writer.audit SET actor = 'os:nobody'",
        "DELETE FROM writer.audit",
        "TRUNCATE writer.audit",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.pool.execute(statement)
    assert await writer.pool.fetchval("SELECT actor FROM writer.audit") == "os:test"
