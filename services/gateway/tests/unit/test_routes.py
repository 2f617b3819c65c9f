"""The route table: all paths of the portal, and no others."""

import pytest

from gateway.routes import (
    ROUTES,
    BadPathError,
    Kind,
    Place,
    Refusals,
    Route,
    RouteTable,
    Who,
    canonical,
)

TABLE = RouteTable()

# The whole portal, one line a row: a change here changes the reach of strangers.
EXPECTED = """
GET HEAD                    /                                  anyone   page   home
GET HEAD                    /customer/                         anyone   page   home
GET HEAD POST PUT OPTIONS   /accounts/login/                   anyone   page   login
POST OPTIONS                /accounts/logout/                  anyone   page   logout
GET HEAD                    /accounts/session/                 customer page   session
POST                        /accounts/session/                 customer page   session
GET HEAD                    /static/gateway/{file}             anyone   page   static
GET HEAD                    /static/portal/{file}              anyone   call   query
GET HEAD                    /customer/dashboard/               customer call   query
GET HEAD                    /customer/repairs/                 customer call   query
GET HEAD                    /customer/repairs/new/             customer call   query
GET HEAD                    /customer/repairs/{id}/            customer call   query
GET HEAD                    /customer/units/                   customer call   query
GET HEAD                    /customer/profile/                 customer call   query
GET HEAD                    /customer/api/docs/                customer call   query
GET HEAD                    /customer/api/unit-repair-data/    customer call   query
GET HEAD                    /customer/api/repair-cost-data/    customer call   query
GET HEAD                    /customer/api/repair-status-data/  customer call   query
GET HEAD                    /customer/api/repairs/             customer call   query
GET HEAD                    /customer/api/repairs/export.csv   customer download query
GET HEAD                    /customer/api/repairs/{id}/        customer call   query
GET HEAD                    /customer/api/figures/             customer call   query
GET HEAD                    /customer/api/units/               customer call   query
GET HEAD                    /customer/api/profile/             customer call   query
GET HEAD                    /customer/api/openapi.json         customer call   query
GET                         /customer/api/events/              customer stream query
POST                        /customer/repairs/                 customer form   writer
POST                        /customer/repairs/new/             customer form   writer
POST                        /customer/repairs/{id}/            customer form   writer
POST                        /customer/profile/                 customer form   writer
POST                        /customer/api/repairs/             customer call   writer
POST                        /customer/api/repairs/status/      customer call   writer
POST                        /customer/api/repairs/{id}/status/ customer call   writer
PATCH                       /customer/api/profile/             customer call   writer
"""


def test_the_table_is_what_it_is_meant_to_be() -> None:
    rows = [
        f"{' '.join(r.methods):<27} {r.path:<34} {r.who.value:<8} {r.kind.value:<6} {r.to}"
        for r in ROUTES
    ]

    assert EXPECTED.strip().splitlines() == rows


def test_only_rows_for_signed_in_users_reach_a_service_apart_from_static_files() -> None:
    open_rows = [r.name for r in ROUTES if r.who is Who.ANYONE and r.kind is not Kind.PAGE]

    assert open_rows == ["portal-static"]


def test_no_row_lets_an_identity_or_a_cookie_through() -> None:
    for route in ROUTES:
        for name in (b"cookie", b"authorization", b"x-gateway-token", b"x-csrf-token", b"host"):
            assert name not in route.sent
        for name in (b"set-cookie", b"x-gateway-token", b"server", b"connection"):
            assert name not in route.returned


def test_the_documented_endpoints_refuse_as_documented() -> None:
    documented = [r.name for r in ROUTES if r.refusals is Refusals.DOCUMENTED]

    assert documented == ["unit-repair-data", "repair-cost-data"]
    assert not any(r.query_passed for r in ROUTES if r.name in documented)


@pytest.mark.parametrize("route", [r for r in ROUTES if "{" not in r.path], ids=lambda r: r.name)
def test_a_path_sent_byte_for_byte_is_found_at_once(route: Route) -> None:
    place = TABLE.at_once(route.path.encode())

    assert place is not None
    assert place is TABLE.find(route.path)


@pytest.mark.parametrize(
    "path",
    [
        "/customer/api/repairs/0192d0f0-0000-7000-8000-000000000001/",
        "/customer/api/repairs/x/",
    ],
)
def test_a_repair_is_found_by_its_id(path: str) -> None:
    place = TABLE.find(path)

    assert place is not None
    assert place.any_route.name == "repair"


@pytest.mark.parametrize(
    "path",
    [
        "/customer/api/",
        "/customer/api/repairs/a/b/",
        "/customer/api/repairs//",
        "/customer/api/repairs/a b/",
        "/customer/api/repairs/" + "a" * 65 + "/",
        "/customer/api/unit-repair-data/x.css",
        "/CUSTOMER/api/unit-repair-data/",
        "/static/portal/",
        "/static/portal/.env",
        "/static/portal/a//b.css",
        "/static/other/a.css",
        "/v1/repairs",
        "/metrics",
        "/docs",
        "",
    ],
)
def test_what_no_row_names_is_nowhere(path: str) -> None:
    assert TABLE.find(path) is None


def test_only_a_missing_slash_of_a_known_path_is_made_good() -> None:
    assert TABLE.lacks_slash("/customer/api/unit-repair-data")
    assert TABLE.lacks_slash("/customer")
    assert TABLE.lacks_slash("/customer/api/repairs/some-id")
    assert not TABLE.lacks_slash("/customer/api")
    assert not TABLE.lacks_slash("/customer/api/unit-repair-data/")
    assert not TABLE.lacks_slash("/evil.test/unit")
    assert not TABLE.lacks_slash("/static/portal/a.css")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/customer/api/unit%2Drepair%2ddata/", "/customer/api/unit-repair-data/"),
        (b"/%63ustomer/", "/customer/"),
        ("/é/".encode().replace(b"\xc3\xa9", b"%C3%A9"), "/é/"),
    ],
)
def test_an_escaped_path_is_decoded_once(raw: bytes, path: str) -> None:
    assert canonical(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"//customer/api/unit-repair-data/",
        b"/customer/api/./unit-repair-data/",
        b"/customer/x/../api/unit-repair-data/",
        b"/customer/x/%2e%2e/api/unit-repair-data/",
        b"/customer/..",
        b"/customer/api/unit-repair-data;x/",
        b"/customer/..;/api/unit-repair-data/",
        b"/customer%2fapi/unit-repair-data/",
        b"/customer%2Fapi/unit-repair-data/",
        b"/customer%5capi/unit-repair-data/",
        b"/customer\\api/unit-repair-data/",
        b"/customer/%252e%252e/",
        b"//evil.test/unit",
    ],
)
def test_a_path_with_two_readings_has_none(raw: bytes) -> None:
    assert canonical(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"/customer/%00",
        b"/customer/%0d%0aSet-Cookie:%20x",
        b"/customer/%zz",
        b"/customer/%ff",
        b"/customer/%c2%85",
        b"/customer/%",
        b"/customer/a b",
        b"/customer/\x7f",
        b"/\xc3\xa9/",
        b"*",
        b"",
        b"http://evil.test/",
        b"/" + b"a" * 3_000,
    ],
)
def test_bytes_that_are_no_path_are_refused(raw: bytes) -> None:
    with pytest.raises(BadPathError):
        canonical(raw)


def test_rows_of_one_path_may_not_differ_in_who_may_ask() -> None:
    one = Route("a", ("GET",), "/a/", Who.ANYONE, Kind.PAGE, "a")
    other = Route("b", ("POST",), "/a/", Who.CUSTOMER, Kind.CALL, "query")

    with pytest.raises(ValueError, match="differ"):
        Place([one, other])


def test_two_rows_may_not_take_the_same_request() -> None:
    row = Route("a", ("GET",), "/a/", Who.ANYONE, Kind.PAGE, "a")

    with pytest.raises(ValueError, match="same method"):
        Place([row, row])


def test_a_request_is_named_after_its_row() -> None:
    place = TABLE.find("/customer/api/repairs/")

    assert place is not None
    assert place.name_for("GET") == "repairs"
    assert place.name_for("POST") == "request-repair"
    assert place.name_for("DELETE") == "repairs"
    assert place.allow == "GET, HEAD, POST"
