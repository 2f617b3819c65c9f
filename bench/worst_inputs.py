# ruff: noqa: S608 - statements of constants of this file
"""The worst input of its allowed size for every endpoint of the three services, and its data."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import asyncpg
from deploy.local import borrowed, credentials, postgres
from tests.oracle.sessions import open_sessions

from gateway.pages import STATIC_PATH, Pages
from gateway.routes import ROUTES
from portal_access.scopes import SCOPES
from repair_writer.api.app import openapi_document
from repair_writer.callers import new_key
from repair_writer.key_admin import KeyGrant, create_key
from repair_writer.store.audit import Operator
from service_runtime.postgres import create_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import aiohttp

KEYS_QUERY = "bench:" + "q" * 40
KEYS_WRITER = "bench:" + "w" * 40
CUSTOMER = 900_001
#: Lorries: four bytes in UTF-8, twelve as JSON without them.
LONGEST = "\U0001f69a" * 4_000
MARKS = "\u0301\u0316"
LISTED, UNITS, LINES = 600, 10_000, 1_000
TOKEN = "a" * 32
STYLE = next(STATIC_PATH + name for name in Pages().files if name.endswith(".css"))
NDJSON = {"Content-Type": "application/x-ndjson"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Place:
    """Stores of a measurement: the addresses of each role's database, and of Valkey."""

    urls: dict[str, str]
    redis: str


@dataclass(frozen=True)
class Worst:
    """One request: the endpoint it measures, and how to send it (`number` is the run, from 0)."""

    name: str
    send: Callable[[aiohttp.ClientSession, int], Any]


@contextmanager
def place() -> Iterator[Place]:
    """Start a Postgres with every table and a Valkey."""
    with borrowed.postgres_url() as owner, borrowed.valkey_url() as redis:
        host = owner.rpartition("@")[2].partition("/")[0]
        name = f"bench_{secrets.token_hex(4)}"
        made = owner.rpartition("/")[0] + f"/{name}"
        _in_a_thread(lambda: _create(owner, name, made))
        urls = {role: f"postgresql://{role}:{role}@{host}/{name}" for role in credentials.ROLES}
        for role, command in (
            ("writer", "repair-writer"),
            ("portal", "portal-query"),
            ("gateway", "gateway"),
        ):
            borrowed.migrate(command, {f"{role.upper()}_DATABASE_URL": urls[role]})
        yield Place(urls, redis)


def _in_a_thread(work: Callable[[], Any]) -> None:
    import threading  # noqa: PLC0415

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join()


async def _create(owner: str, name: str, made: str) -> None:
    connection = await asyncpg.connect(owner)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    settings = {f"rswind.{role}_password": role for role in credentials.ROLES}
    connection = await asyncpg.connect(made, server_settings=settings)
    await connection.execute(postgres.ROLES_SQL.read_text())
    await connection.close()


async def every(place: Place, urls: dict[str, str], http: aiohttp.ClientSession) -> list[Worst]:
    """Fill the stores and return a request for each endpoint.

    Raises RuntimeError for an endpoint without one.
    """
    pool = await create_pool(place.urls["writer"], name="bench", size=1)
    key = new_key()
    grant = KeyGrant(client="bench", scopes=frozenset(SCOPES))
    await create_key(pool, key, grant, 1, Operator(name="bench", machine="localhost"))
    await pool.close()
    (session,) = await open_sessions(place.urls["gateway"], [CUSTOMER])
    writer = _Writer(urls["writer"], {"Authorization": f"Bearer {key.text}"})
    groups = await writer.fill(http)
    repair = await _fill_portal(place.urls["portal"], [one for group in groups for one in group])
    portal = _Portal(urls["gateway"], session, repair, groups)
    found = [
        *portal.reads(),
        *portal.sign_in(),
        *portal.forms(),
        *portal.commands(),
        *writer.every(),
    ]
    _check([one.name for one in found])
    return found


def _check(names: list[str]) -> None:
    """Raise RuntimeError for an endpoint without a request of its own."""
    wanted = {route.name for route in ROUTES}
    for path, methods in openapi_document()["paths"].items():
        if path.startswith("/v1/"):  # the others are reached through the gateway
            wanted |= {f"{method.upper()} {path}" for method in methods}
    missing = wanted - {name.partition(": ")[0] for name in names}
    if missing:
        raise RuntimeError(f"no worst input for {', '.join(sorted(missing))}")


def _always(body: bytes) -> Callable[[int], bytes]:
    return lambda _: body


def _form(pairs: Callable[[int], list[tuple[str, str]]]) -> Callable[[int], bytes]:
    """Return a maker of forms of these fields for a run, as large as a form may be."""

    def made(number: int) -> bytes:
        page = [("csrfmiddlewaretoken", TOKEN), ("idempotency_key", secrets.token_hex(8))]
        return urlencode([*page, *pairs(number)]).encode()[:65_500]

    return made


class _Portal:
    """Requests of a browser and of a customer's scripts."""

    def __init__(
        self, url: str, session: str, repair: str, groups: list[list[tuple[str, str]]]
    ) -> None:
        self._url = url
        self._cookie = f"sessionid={session}; csrftoken={TOKEN}"
        self._repair = repair
        self._groups = groups

    def _one(
        self, name: str, method: str, path: str, body: Callable[[int], bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Worst:  # fmt: skip
        async def send(http: aiohttp.ClientSession, number: int) -> int:
            sent = {"Cookie": self._cookie, "X-CSRFToken": TOKEN, **(headers or {})}
            sent["Idempotency-Key"] = f"{name[:20].replace(' ', '-')}-{number}"
            data = None if body is None else body(number)
            async with http.request(
                method, self._url + path, data=data, headers=sent, allow_redirects=False
            ) as answer:
                if "events" in path:
                    await answer.content.readany()
                else:
                    await answer.read()
                return int(answer.status)

        return Worst(name, send)

    def reads(self) -> Iterator[Worst]:
        repair, api = self._repair, "/customer/api"
        long_query = "&".join(f"x{n}=1" for n in range(1_100))
        spaces = self._cookie + "; " + " ;" * 3_900
        for name, path in (
            ("root", "/"),
            ("customer", "/customer/"),
            ("session", "/accounts/session/"),
            ("own-static", STYLE),
            ("portal-static", "/static/portal/portal.0000000000000000.js"),
            (f"dashboard: {UNITS} units", "/customer/dashboard/"),
            ("repairs-page: 200 of the longest", "/customer/repairs/?limit=200"),
            ("repairs-page: 500 to print", "/customer/repairs/?view=print"),
            ("repairs-page: 1100 unknown parameters", f"/customer/repairs/?{long_query}"),
            ("request-page", "/customer/repairs/new/"),
            (f"repair-page: {LINES} lines of history", f"/customer/repairs/{repair}/"),
            ("units-page: 200", "/customer/units/?limit=200"),
            ("profile-page", "/customer/profile/"),
            ("documentation", f"{api}/docs/"),
            (f"unit-repair-data: {UNITS} units", f"{api}/unit-repair-data/"),
            ("repair-cost-data", f"{api}/repair-cost-data/"),
            ("repair-status-data", f"{api}/repair-status-data/"),
            ("repairs: 200 of the longest", f"{api}/repairs/?limit=200"),
            ("repairs: text of marks", f"{api}/repairs/?q={quote('a' + MARKS * 600)}"),
            ("repairs: unit of marks", f"{api}/repairs/?unit={quote('a' + MARKS * 600)}"),
            ("repairs: cursor", f"{api}/repairs/?cursor={'A' * 7_900}"),
            ("repairs: 1100 unknown parameters", f"{api}/repairs/?{long_query}"),
            (f"export: {LISTED} of the longest", f"{api}/repairs/export.csv"),
            (f"repair: {LINES} lines of history", f"{api}/repairs/{repair}/"),
            ("figures", f"{api}/figures/"),
            ("units: 200", f"{api}/units/?limit=200"),
            ("profile", f"{api}/profile/"),
            ("openapi", f"{api}/openapi.json"),
            ("events", f"{api}/events/"),
        ):
            yield self._one(name, "GET", path)
        yield self._one(
            "profile: cookies of spaces", "GET", f"{api}/profile/", headers={"Cookie": spaces}
        )
        tags = ",".join(['"x"'] * 1_900)
        yield self._one(
            "profile: 1900 tags", "GET", f"{api}/profile/", headers={"If-None-Match": tags}
        )
        yield self._one(
            "login: a long way back", "GET", f"/accounts/login/?next=/{'%C3%BC' * 1_300}"
        )

    def sign_in(self) -> Iterator[Worst]:
        token = f"csrfmiddlewaretoken={TOKEN}&password=x&"
        kept = [(f"kept.field-{n}", "<&>" * 16) for n in range(500)]
        for name, body in (
            ("name of marks", token + "username=a" + MARKS * 19_000),
            ("name of letters that unfold", token + "username=" + quote("\ufdfa" * 8_000)),
            ("password of 79 kB", token + "username=a&password=" + "p" * 79_000),
            ("512 kept fields", token + "username=a&" + urlencode(kept)),
            ("too many fields", token + "a&" * 40_000),
        ):
            yield self._one(
                f"login: {name}", "POST", "/accounts/login/", _always(body.encode()[:81_900]), FORM
            )
        yield self._one("prolong-session", "POST", "/accounts/session/", _always(b""), FORM)
        elsewhere = f"csrfmiddlewaretoken={TOKEN}&next={'%C3%BC' * 2_600}".encode()
        # Without the session, which the other requests still need.
        headers = {**FORM, "Cookie": f"csrftoken={TOKEN}"}
        yield self._one("logout", "POST", "/accounts/logout/", _always(elsewhere), headers)

    def forms(self) -> Iterator[Worst]:
        def decisions(number: int) -> list[tuple[str, str]]:
            group = self._groups[number]
            pairs = [("status", "APPROVED")]
            for repair_id, tag in group:
                pairs += [("repair", repair_id), (f"etag-{repair_id}", tag)]
            return pairs

        many = [("status", "APPROVED"), *(("repair", f"{n:030d}") for n in range(505))]
        breaks = [(f"description-{n}", "<&>\r\n" * 300) for n in range(1, 11)]
        one = f"/customer/repairs/{self._repair}/"
        profile = [("email", "x"), ("address", "<&>\r\n" * 2_000)]
        for name, path, pairs in (
            ("decide-repairs-form: 100", "/customer/repairs/", decisions),
            ("decide-repairs-form: 506 fields", "/customer/repairs/", lambda _: many),
            (
                "request-form: 10 breaks",
                "/customer/repairs/new/",
                lambda _: [("unit_number", "a" + MARKS * 90), *breaks],
            ),
            (
                "decide-repair-form",
                one,
                lambda _: [("status", "DENIED"), ("reason", "<&>" * 7_000)],
            ),
            ("profile-form", "/customer/profile/", lambda _: [("etag", "x"), *profile]),
        ):
            yield self._one(name, "POST", path, _form(pairs), FORM)

    def commands(self) -> Iterator[Worst]:
        api = "/customer/api"
        visit = {
            "unit_number": "a" + MARKS * 90,
            "breaks": [{"description": "\u0001" * 4_000}] * 10,
        }
        good = {"unit_number": "A1", "breaks": [{"description": LONGEST[:3_900]}] * 10}
        nested = b'{"breaks":[' + b"[]," * 80_000 + b"[]]}"
        keys = json.dumps({f"{n:x}": 1 for n in range(24_000)}, separators=(",", ":")).encode()
        patch = json.dumps({"address": "\u0001" * 40_000}).encode()

        def decisions(number: int) -> bytes:
            group = self._groups[3 + number]
            repairs = [{"repair_id": one, "etag": tag} for one, tag in group]
            return json.dumps(
                {"status": "DENIED", "reason": "r" * 1_000, "repairs": repairs}
            ).encode()

        tag = {"If-Match": ",".join(['"x"'] * 19)}
        for name, method, path, body in (
            (
                "request-repair: 10 breaks",
                "POST",
                f"{api}/repairs/",
                lambda _: json.dumps(good, ensure_ascii=False).encode(),
            ),
            (
                "request-repair: escaped",
                "POST",
                f"{api}/repairs/",
                lambda _: json.dumps(visit).encode(),
            ),
            ("request-repair: 24000 unknown fields", "POST", f"{api}/repairs/", lambda _: keys),
            ("request-repair: 80000 lists", "POST", f"{api}/repairs/", lambda _: nested),
            ("decide-repairs: 100 of the longest", "POST", f"{api}/repairs/status/", decisions),
            ("decide-repair", "POST", f"{api}/repairs/{self._repair}/status/", lambda _: keys),
            ("change-profile", "PATCH", f"{api}/profile/", lambda _: patch),
        ):
            yield self._one(name, method, path, body, {**JSON, **tag})


class _Writer:
    """Requests of internal systems."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._repair = ""

    async def fill(self, http: aiohttp.ClientSession) -> list[list[tuple[str, str]]]:
        """Record a customer with 600 pending repairs of the longest texts.

        Return them by hundreds, with tags.
        """
        await self._call(http, "PUT", f"/v1/customers/{CUSTOMER}", b'{"name":"Bench"}', JSON)
        found: list[tuple[str, str]] = []
        for part in range(6):
            lines = [self._line(part * 100 + n) for n in range(100)]
            body = b"\n".join(lines)
            _, said = await self._call(http, "POST", "/v1/repairs/import", body, NDJSON)
            for line in said.splitlines():
                repair_id = json.loads(line)["repair_id"]
                _, read = await self._call(http, "GET", f"/v1/repairs/{repair_id}")
                found.append((repair_id, json.loads(read)["event_id"]))
        self._repair = found[0][0]
        return [found[n : n + 100] for n in range(0, 600, 100)]

    def _line(self, number: int, **more: object) -> bytes:
        line = {
            "customer_id": CUSTOMER, "unit_number": f"U{number % 9}", "repair_date": "2026-03-01T14:30:00Z",
            "status": "PENDING", "source": "bench", "source_ref": f"r{number}",
            "description": LONGEST, "customer_notes": LONGEST, **more,
        }  # fmt: skip
        return json.dumps(line, ensure_ascii=False).encode()

    async def _call(
        self, http: aiohttp.ClientSession, method: str, path: str, body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        sent = {**self._headers, **(headers or {})}
        async with http.request(method, self._url + path, data=body, headers=sent) as answer:
            return int(answer.status), await answer.read()

    def every(self) -> Iterator[Worst]:
        repair, customer = "/v1/repairs/{repair_id}", "/v1/customers/{customer_id}"
        keys = json.dumps({f"{n:x}": 1 for n in range(24_000)}, separators=(",", ":")).encode()
        big = json.dumps({"description": "\u0001" * 40_000}).encode()
        reason = json.dumps({"reason": "\u0001" * 40_000}).encode()
        short = b'{"customer_id":0,"source_ref":"x"}\n'
        fields = json.dumps({f"x{n}": 1 for n in range(480)}).encode() + b"\n"
        good = b"\n".join(
            self._line(n + 10_000, description="chip", customer_notes="") for n in range(5_000)
        )
        for name, body, headers in (
            ("POST /v1/repairs: 24000 unknown fields", keys, JSON),
            ("POST /v1/repairs: escaped", big, JSON),
            (f"PUT {customer}", big, JSON),
            (f"PATCH {repair}", big, JSON),
            (f"DELETE {repair}", reason, JSON),
            (f"POST {repair}/status", keys, JSON),
            (f"POST {repair}/restore", reason, JSON),
            (f"GET {repair}", None, None),
            ("GET /v1/repairs: by reference", None, None),
            (f"GET {customer}", None, None),
            (f"GET {customer}/events: 16 MB a page", None, None),
            ("GET /v1/heads: changed_since of 8 kB", None, None),
            ("GET /v1/progress", None, None),
            ("GET /openapi.json", None, None),
            ("POST /v1/repairs/import: 5000 usual lines", good, NDJSON),
            (
                "POST /v1/repairs/import: lines of the longest",
                b"\n".join(self._line(n) for n in range(120)),
                NDJSON,
            ),
            ("POST /v1/repairs/import: bad lines", short * 20_000, NDJSON),
            ("POST /v1/repairs/import: bad fields", fields * 500, NDJSON),
            ("POST /v1/repairs/import: 16 lines of 24000 fields", (keys + b"\n") * 16, NDJSON),
            ("POST /v1/repairs/import: line breaks", b"\n" * 4_000_000, NDJSON),
        ):
            yield self._one(name, body, headers)

    def _one(self, name: str, body: bytes | None, headers: dict[str, str] | None) -> Worst:
        method, path = name.partition(": ")[0].split(" ")
        if "heads" in path:
            path += "?changed_since=" + "0" * 8_000
        if path == "/v1/repairs" and method == "GET":
            path += "?" + urlencode({"source": "bench", "source_ref": "r" * 4_000})
        path = path.replace("{repair_id}", self._repair).replace("{customer_id}", str(CUSTOMER))

        async def send(http: aiohttp.ClientSession, _: int) -> int:
            return (await self._call(http, method, path, body, headers))[0]

        return Worst(name, send)


async def _fill_portal(url: str, pending: list[tuple[str, str]]) -> str:
    """Fill a read model with the longest values; return the repair with the long history."""
    connection = await asyncpg.connect(url)
    ids = [one for one, _ in pending]
    await connection.execute(
        "INSERT INTO portal.customer (customer_id, revision, event_id, fold_version, accepted_at, name)"
        f" VALUES ({CUSTOMER}, 5000, gen_random_uuid(), 'bench', now(), 'Bench')"
    )
    await connection.execute(
        "INSERT INTO portal.repair (customer_id, repair_id, unit_number, repair_date, month, status,"
        " description, damage_type, cost, customer_notes, requested_by, removed, revision, event_id,"
        " recorded_at, changed_at)"
        f" SELECT {CUSTOMER}, id, repeat('<', 50), now(), '2026-03', 'PENDING', $2,"
        " repeat('&', 100), 1234567890.12, $2, 'customer', false, 1, gen_random_uuid(), now(), now()"
        " FROM unnest($1::uuid[]) AS id",
        ids[:LISTED],
        LONGEST,
    )
    await connection.execute(
        "INSERT INTO portal.repair_history (customer_id, repair_id, revision, occurred_at, accepted_at,"
        " event_id, fact, by, status, reason)"
        f" SELECT {CUSTOMER}, $1, n, now(), now(), gen_random_uuid(), 'status-changed', 'customer',"
        f" 'PENDING', $2 FROM generate_series(1, {LINES}) AS n",
        ids[0],
        LONGEST[:1_000],
    )
    await connection.execute(
        "INSERT INTO portal.repair_count"
        f" SELECT {CUSTOMER}, 0, rpad(n::text, 50, '\U0001f69a'), 7 FROM generate_series(1, {UNITS}) AS n"
        f" UNION ALL SELECT {CUSTOMER}, 1, '2026-03', 600 UNION ALL SELECT {CUSTOMER}, 2, 'PENDING', 600"
    )
    await connection.close()
    return ids[0]
