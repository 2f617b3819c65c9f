"""The command line, as an operator runs it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway import store
from gateway.admin import app
from gateway.main import build
from gateway.testing.portal import portal

UNITS = "/customer/api/unit-repair-data/"


class Operator:
    """Runs `gateway ...` against one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, *arguments: str, succeeds: bool = True) -> str:
        done = CliRunner().invoke(
            app, arguments, env={"GATEWAY_DATABASE_URL": self._url, "COLUMNS": "200"}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        assert (done.exit_code == 0) is succeeds, done.output
        return done.output

    async def do(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.run, *arguments)

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run(*arguments, "--json"))
        return rows


@pytest.fixture
def operator(database: Any) -> Operator:
    return Operator(database.gateway_url)


@pytest.fixture
def password(tmp_path: Path) -> str:
    file = tmp_path / "password"
    file.write_text("correct horse battery\n")
    return str(file)


def test_a_user_is_added_once_and_listed_without_a_password(
    operator: Operator, password: str
) -> None:
    operator.run("users", "add", "anna", "--customer", "42", "--password-file", password)
    again = operator.run("users", "add", "anna", "--password-file", password, succeeds=False)
    kept = operator.run("users", "add", "anna", "--password-file", password, "--if-missing")
    case = operator.run("users", "add", "ANNA", "--password-file", password, succeeds=False)

    assert "already" in again
    assert "exists" in kept
    assert "already" in case
    rows = operator.listed("users", "list")
    assert [(row["username"], row["customer_id"], row["hash"]) for row in rows] == [
        ("anna", 42, "argon2")
    ]
    assert "argon2id" not in operator.run("users", "list")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["users", "add", "", "--password-file", "{}"], "1 to 150"),
        (["users", "add", "a" * 151, "--password-file", "{}"], "1 to 150"),
        (["users", "add", "anna", "--password-file", "/nowhere"], "cannot be read"),
        (["users", "add", "anna", "--customer", "0", "--password-file", "{}"], "customer"),
        (["users", "disable", "nobody"], "no user 'nobody'"),
        (["users", "passwd", "nobody", "--password-file", "{}"], "no user"),
        (["users", "link", "nobody", "--none"], "no user"),
        (["users", "link", "anna"], "either"),
        (["sessions", "end"], "one of"),
        (["devices", "revoke"], "one of"),
        (["devices", "revoke", "abc", "--user", "anna"], "one of"),
        (["devices", "revoke", "--user", "nobody"], "no user"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    operator: Operator, password: str, arguments: list[str], sentence: str
) -> None:
    said = operator.run(*(text.replace("{}", password) for text in arguments), succeeds=False)

    assert sentence in said


def test_a_short_password_is_refused(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("1234567\n")

    said = operator.run(
        "users", "add", "anna", "--password-file", str(tmp_path / "short"), succeeds=False
    )

    assert "8 to 1024" in said


def test_a_database_that_is_away_is_told_in_a_sentence() -> None:
    nowhere = Operator("postgresql://gateway:x@127.0.0.1:1/rswind")

    assert "cannot be reached" in nowhere.run("users", "list", succeeds=False)
    assert "cannot be reached" in nowhere.run("migrate", succeeds=False)


def test_migrating_twice_changes_nothing(operator: Operator) -> None:
    operator.run("migrate")
    operator.run("migrate")


async def test_what_an_operator_does_counts_at_the_next_request(
    database: Any, operator: Operator, password: str
) -> None:
    async with portal(build, database.gateway_url) as gate:
        browser = await gate.signed_in()

        await operator.do("users", "link", "anna", "--none")
        unlinked = await browser.get(UNITS)
        await operator.do("users", "link", "anna", "--customer", "7")
        linked = await browser.get(UNITS)
        rows = await gate.execute("SELECT left(encode(id_hash, 'hex'), 16) FROM gateway.session")
        await operator.do("sessions", "end", rows[0][0])
        ended = await browser.get(UNITS)

        assert (unlinked.status, linked.status, ended.status) == (404, 200, 302)


@pytest.mark.parametrize(
    "command",
    [
        ["users", "disable", "anna"],
        ["users", "passwd", "anna", "--password-file", "{}"],
        ["sessions", "end", "--user", "anna"],
        ["sessions", "end", "--all"],
    ],
)
async def test_ending_sessions_wins_over_a_login_under_way(
    database: Any, operator: Operator, password: str, command: list[str]
) -> None:
    async with portal(build, database.gateway_url) as gate:
        browser = await gate.signed_in()
        pool = gate.gateway.pool
        _, before = await store.find_account(pool, "anna")
        assert before is not None

        await operator.do(*(text.replace("{}", password) for text in command))

        session = store.NewSession(b"\x01" * 32, (), 60, 60, "", "", 10, b"\x02" * 32)
        assert not await store.create_session(pool, before, session)
        assert (await browser.get(UNITS)).status == 302


async def test_sessions_are_listed_without_what_opens_them(
    database: Any, operator: Operator
) -> None:
    async with portal(build, database.gateway_url) as gate:
        browser = await gate.signed_in()

    rows = await asyncio.to_thread(operator.listed, "sessions", "list", "--user", "anna")

    assert [(row["username"], row["peer"]) for row in rows] == [("anna", "127.0.0.1")]
    assert browser.cookies["sessionid"] not in str(rows)


async def test_a_disabled_user_may_be_let_in_again(database: Any, operator: Operator) -> None:
    async with portal(build, database.gateway_url) as gate:
        await gate.add_user()
        await operator.do("users", "disable", "anna")
        refused = await gate.browser().sign_in("anna", "correct horse battery")
        await operator.do("users", "enable", "anna")
        admitted = await gate.browser().sign_in("anna", "correct horse battery")

        assert (refused.status, admitted.status) == (200, 302)


async def test_what_an_operator_does_is_written_down(
    database: Any, operator: Operator, password: str
) -> None:
    async with portal(build, database.gateway_url) as gate:
        await operator.do("users", "add", "anna", "--customer", "42", "--password-file", password)
        await operator.do("users", "link", "anna", "--customer", "43")
        await operator.do("users", "passwd", "anna", "--password-file", password)
        await operator.do("users", "disable", "anna")
        await operator.do("users", "enable", "anna")
        await operator.do("sessions", "end", "--all")

        rows = await gate.execute("SELECT kind, peer, details::text FROM gateway.audit_event")

    assert [row[0] for row in rows] == [
        "user-added", "user-linked", "password-changed", "user-disabled", "user-enabled",
        "sessions-ended",
    ]  # fmt: skip
    assert {row[1] for row in rows} == {"command line"}
    assert "horse" not in str(rows)
    assert "argon2" not in str(rows)


HOSTILE = "\x1b[2J\u202ea [/x] b [bold]c"


async def test_stored_text_is_shown_as_it_is_and_steers_no_terminal(
    database: Any, operator: Operator
) -> None:
    async with portal(build, database.gateway_url) as gate:
        await gate.signed_in("anna")
        await gate.execute("UPDATE gateway.session SET user_agent = $1", HOSTILE)
        await gate.execute("""UPDATE gateway."user" SET email = $1""", HOSTILE)

        for command in (("sessions", "list"), ("users", "list")):
            table = await operator.do(*command)
            assert "\\x1b[2J\\u202ea [/x] b [bold]c" in table
            said = table + await operator.do(*command, "--json")
            assert not {"\x1b", "\u202e"} & set(said)
        (row,) = await asyncio.to_thread(operator.listed, "sessions", "list")
        assert row["user_agent"] == HOSTILE
