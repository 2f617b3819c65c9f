"""The command line, as operators run it."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repair_writer.callers import new_key, parse_key

SCRIPT = str(Path(sys.executable).parent / "repair-writer")
ALL = "repairs:write,repairs:read,customers:write,history:read"


def run(url: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath}
    if url is not None:
        environment["WRITER_DATABASE_URL"] = url
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
    )


async def command(url: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, url, *arguments)


async def test_a_key_is_made_listed_used_and_revoked(writer: Any, database: Any) -> None:
    url = database.writer_url
    options = ("--client", "app", "--scopes", "history:read", "--expires-days", "30", "--json")
    made = await command(url, "keys", "create", *options)
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    assert (await writer.call("GET", "/v1/heads", key=key["key"])).status == 200
    listed = json.loads((await command(url, "keys", "list", "--json")).stdout)
    assert [(row["client"], row["state"]) for row in listed] == [
        ("dispatch", "live"),
        ("app", "live"),
    ]
    assert key["key"] not in str(listed)
    assert "app" in (await command(url, "keys", "list")).stdout
    assert (await command(url, "keys", "revoke", key["id"])).returncode == 0
    assert (await writer.call("GET", "/v1/heads", key=key["key"])).status == 401
    again = await command(url, "keys", "revoke", key["id"])
    assert (again.returncode, "no live key" in again.stderr) == (1, True)


async def test_a_key_is_bound_on_the_command_line_and_its_history_listed(
    writer: Any, database: Any
) -> None:
    url = database.writer_url
    options = (
        "--client", "app", "--scopes", "repairs:write,repairs:read", "--json",
        "--source", "app-v2", "--source", "[b]portal[/x]", "--customer", "7", "--customer", "9",
    )  # fmt: skip
    made = json.loads((await command(url, "keys", "create", *options)).stdout)
    assert made["sources"] == ["app-v2", "[b]portal[/x]"]
    assert made["customers"] == [7, 9]
    answer = await writer.call(
        "POST", "/v1/repairs",
        {"customer_id": 8, "unit_number": "A", "repair_date": "2026-03-01T00:00:00Z"},
        key=made["key"],
    )  # fmt: skip
    assert (answer.status, answer.code) == (403, "scope")
    await writer.keys.note_uses()
    listed = await command(url, "keys", "list")
    assert listed.returncode == 0, listed.stderr
    assert (await command(url, "keys", "revoke", made["id"])).returncode == 0
    found = await command(url, "audit", "list", "--key", made["id"], "--json")
    rows = json.loads(found.stdout)
    assert [row["what"] for row in rows] == ["key-revoked", "key-used", "key-created"]
    assert [row["by"].partition(":")[0] for row in rows] == ["os", "internal", "os"]
    assert all(row["from"] and row["at"] for row in rows)
    assert made["key"] not in found.stdout
    two = await command(url, "audit", "list", "--limit", "2", "--json")
    assert len(json.loads(two.stdout)) == 2
    assert made["id"] in (await command(url, "audit", "list")).stdout


async def test_a_secret_goes_into_a_file_that_only_its_owner_reads(
    writer: Any, database: Any, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    options = ("--client", "app", "--scopes", ALL, "--secret-file", str(file))
    made = await command(database.writer_url, "keys", "create", *options)
    assert made.returncode == 0, made.stderr
    text = file.read_text().strip()
    assert parse_key(text)
    assert text not in made.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = await command(database.writer_url, *("keys", "create"), *options)
    assert (again.returncode, "--secret-file" in again.stderr) == (2, True)
    assert await writer.pool.fetchval("SELECT count(*) FROM writer.api_key") == 2
    assert (await writer.call("GET", "/v1/heads", key=text)).status == 200


async def test_a_key_from_a_file_is_ensured_twice(
    writer: Any, database: Any, tmp_path: Path
) -> None:
    key, file = new_key(), tmp_path / "key"
    file.write_text(key.text + "\n")
    for _ in range(2):
        options = ("--client", "projector", "--scopes", "history:read", "--key-file", str(file))
        done = await command(database.writer_url, "keys", "ensure", *options)
        assert done.returncode == 0, done.stderr
    assert (await writer.call("GET", "/v1/heads", key=key.text)).status == 200


async def test_what_cannot_be_done_is_said_without_a_traceback(
    database: Any, tmp_path: Path
) -> None:
    url, file = database.writer_url, tmp_path / "key"
    file.write_text("no key")
    create, good = ("keys", "create", "--client"), ("--scopes", "repairs:read")
    for where, arguments, status in (
        (None, ("migrate",), 78),
        (None, ("keys", "list"), 78),
        ("postgresql://writer:x@127.0.0.1:1/nowhere", ("keys", "list"), 1),
        ("postgresql://writer:x@127.0.0.1:1/nowhere", ("migrate",), 1),
        (url, (*create, "Big Name", *good), 2),
        (url, (*create, "app", "--scopes", "everything"), 2),
        (url, (*create, "app", *good, "--expires-days", "0"), 2),
        (url, (*create, "app", *good, "--source", " "), 2),
        (url, (*create, "app", *good, "--customer", "0"), 2),
        (url, (*create, "app", *good, "--customer", "x"), 2),
        (url, ("keys", "ensure", "--client", "app", *good, "--key-file", str(file)), 2),
        (url, ("keys", "ensure", "--client", "app", *good, "--key-file", "/nowhere"), 2),
    ):
        done = await command(where, *arguments)
        assert done.returncode == status, (arguments, done.stderr)
        assert done.stderr
        assert "Traceback" not in done.stderr


async def test_migrating_again_changes_nothing(writer: Any, database: Any) -> None:
    await writer.recorded()
    results = await asyncio.gather(*(command(database.writer_url, "migrate") for _ in range(2)))
    assert [done.returncode for done in results] == [0, 0], results
    assert len(await writer.events()) == 2


def test_the_document_is_printed(database: Any) -> None:
    done = run(None, "openapi")
    assert json.loads(done.stdout)["openapi"].startswith("3.1")


def test_the_process_names_every_bad_setting() -> None:
    environment = {"PATH": os.defpath, "IDENTITY_KEYS_WRITER": "short", "OPS_PORT": "x"}
    done = subprocess.run(
        [sys.executable, "-m", "repair_writer.api.main"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    for name in ("WRITER_DATABASE_URL", "IDENTITY_KEYS_WRITER", "OPS_PORT"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("reachable", [True, False])
async def test_the_process_starts_says_when_it_is_ready_and_stops(
    database: Any, reachable: bool, eventually: Any, free_ports: list[int]
) -> None:
    url = database.writer_url if reachable else "postgresql://writer:x@127.0.0.1:1/nowhere"
    port, ops_port = free_ports
    environment = {
        "PATH": os.defpath,
        "WRITER_DATABASE_URL": url,
        "IDENTITY_KEYS_WRITER": "a:0123456789abcdef0123456789abcdef",
        "WRITER_PORT": str(port),
        "OPS_PORT": str(ops_port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "repair_writer.api.main", env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:

        async def answers() -> bool:
            try:
                head = await _get(port, "/v1/heads")
            except OSError:
                return False
            return head.split(" ")[1] in {"401", "503"}

        await eventually(answers)
        ready = await _get(ops_port, "/readyz")
        assert ready.split(" ")[1] == ("200" if reachable else "503")
        assert (await _get(ops_port, "/livez")).split(" ")[1] == "200"
        assert "http_server_request_duration_seconds" in await _get(ops_port, "/metrics")
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def _get(port: int, path: str) -> str:
    reader, stream = await asyncio.open_connection("127.0.0.1", port)
    stream.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return (await reader.read()).decode()
    finally:
        stream.close()
