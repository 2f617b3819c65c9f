"""Paths have one reading; requests have one start and one end."""

import pytest

from gateway.testing.browser import exchange, parse
from gateway.testing.portal import Portal
from service_runtime.testing_framing import FRAMING as ALL_FRAMING
from service_runtime.testing_framing import converse

UNITS = "/customer/api/unit-repair-data/"

NOWHERE = {
    15: ["//customer/api/unit-repair-data/"],
    16: ["/customer/api/./unit-repair-data/", "/customer/x/../api/unit-repair-data/"],
    17: ["/customer/x/%2e%2e/api/unit-repair-data/"],
    18: ["/customer/api/unit-repair-data;x/", "/customer/..;/api/unit-repair-data/"],
    21: ["/customer\\api/unit-repair-data/"],
    22: ["/CUSTOMER/api/unit-repair-data/"],
    27: ["/customer/%252e%252e/api/unit-repair-data/"],
    28: [f"{UNITS}x.css", f"{UNITS}..%2fx.css"],
}


async def test_case_15_16_17_18_21_22_27_28_a_crooked_path_leads_nowhere(gate: Portal) -> None:
    browser = await gate.signed_in()

    for paths in NOWHERE.values():
        for path in paths:
            assert (await browser.get(path)).status == 404, path
    assert gate.query.received == []


async def test_case_19_an_escaped_letter_is_that_letter(gate: Portal) -> None:
    browser = await gate.signed_in()

    assert (await browser.get("/customer/api/unit%2Drepair%2Ddata/")).status == 200
    assert gate.query.received[-1].target == UNITS


async def test_case_20_bytes_that_are_no_path_are_refused(gate: Portal, capfd: object) -> None:
    browser = await gate.signed_in()

    for path in (
        "/customer/%00",
        "/customer/%0d%0aX: y",
        "/customer/%0d%0aX:%20y",
        "/customer/%zz",
        "/customer/%ff",
    ):
        assert (await browser.get(path)).status == 400, path


@pytest.mark.parametrize("signed_in", [True, False])
async def test_case_23_a_missing_slash_is_added_for_any_method(
    gate: Portal, signed_in: bool
) -> None:
    browser = await gate.signed_in() if signed_in else gate.browser()

    for method in ("GET", "HEAD", "POST"):
        answered = await browser.ask(method, f"{UNITS[:-1]}?x=1")
        assert answered.status == 301
        assert answered.header("location") == f"{UNITS}?x=1"
        assert answered.header("vary") is None
        assert answered.body == b""


async def test_case_24_no_redirect_leaves_this_host(gate: Portal) -> None:
    for path in (
        "//evil.test/unit",
        "//evil.test/customer",
        "/%2fevil.test/customer",
        "//evil.test",
    ):
        answered = await gate.browser().get(path)
        assert answered.status == 404
        assert answered.header("location") is None


async def test_case_25_only_the_path_decides(gate: Portal) -> None:
    for target in (
        f"{UNITS}?p=/accounts/login/",
        f"{UNITS}#/accounts/login/",
        f"{UNITS}?/static/portal/x.css",
    ):
        assert (await gate.browser().get(target)).status == 302


async def test_case_26_methods_that_no_page_uses_are_refused(gate: Portal) -> None:
    browser = await gate.signed_in()
    for line in (
        f"TRACE {UNITS}",
        f"get {UNITS}",
        f"FOO {UNITS}",
        "OPTIONS *",
        "CONNECT evil.test:443",
        f"PROPFIND {UNITS}",
    ):
        method, target = line.split(" ")
        data = f"{method} {target} HTTP/1.1\r\nHost: portal.test\r\nConnection: close\r\nCookie: sessionid={browser.cookies['sessionid']}\r\n\r\n"
        status = parse(await exchange(gate.url, data.encode())).status
        assert status in {400, 403, 404, 405}, line
    assert gate.query.received == []


async def test_case_29_an_unknown_path_is_unknown_to_anybody(gate: Portal) -> None:
    answered = await gate.browser().get("/customer/api/nothing/")

    assert answered.status == 404
    assert answered.header("content-type") == "text/html; charset=utf-8"
    assert answered.header("location") is None


FRAMING = {
    30: ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"],
    31: [
        "Content-Length: 4\r\nContent-Length: 5", "Content-Length: 4\r\nContent-Length: 4",
        "Content-Length: 3, 3", "Content-Length: +3", "Content-Length: -1", "Content-Length: 0x3",
        "Content-Length: 100000000000000000000",
    ],
    32: ["X : y", "X: y\r\n folded", "X: a\rb", "X: a\0b"],
    34: ["Transfer-Encoding: chunked"],
}  # fmt: skip


async def test_case_30_31_32_34_a_request_with_two_readings_has_none(gate: Portal) -> None:
    browser = await gate.signed_in()
    cookie = f"Cookie: sessionid={browser.cookies['sessionid']}; csrftoken={browser.cookies['csrftoken']}"
    hidden = f"GET {UNITS} HTTP/1.1\r\nHost: portal.test\r\n{cookie}\r\n\r\n"
    for number, cases in FRAMING.items():
        for headers in cases:
            data = (
                f"POST {UNITS} HTTP/1.1\r\nHost: portal.test\r\n{cookie}\r\n{headers}\r\nConnection: close\r\n\r\n"
                f"0\r\n\r\n{hidden if number == 30 else ''}"
            )
            status = parse(await exchange(gate.url, data.encode("latin-1")), head_only=True).status
            assert status in {400, 403, 411, 413}, (number, headers)
    assert gate.query.received == []
    assert gate.writer.received == []


async def test_case_33_35_bare_line_ends_and_old_framing_are_refused(gate: Portal) -> None:
    browser = await gate.signed_in()
    cookie = f"Cookie: sessionid={browser.cookies['sessionid']}"
    for data in (
        f"GET {UNITS} HTTP/1.1\nHost: portal.test\n{cookie}\nConnection: close\n\n",
        f"POST {UNITS} HTTP/1.0\r\nHost: portal.test\r\n{cookie}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ):
        assert parse(await exchange(gate.url, data.encode()), head_only=True).status in {400, 411}
    assert gate.query.received == []


@pytest.mark.parametrize(
    "hosts",
    ["", "Host: portal.test\r\nHost: portal.test\r\n", "Host: portal.test/x?y\r\n",
     "Host: portal.test@evil.test\r\n", "Host: evil.test\r\n", "Host: \r\n"],
)  # fmt: skip
async def test_case_36_only_our_own_name_is_answered_to(gate: Portal, hosts: str) -> None:
    data = f"GET {UNITS} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"

    answered = parse(await exchange(gate.url, data.encode()))

    assert answered.status == 400
    assert b"evil.test" not in answered.body


async def test_case_37_the_body_of_a_get_goes_nowhere(gate: Portal) -> None:
    browser = await gate.signed_in()

    answered = await browser.ask("GET", UNITS, body=b"GET /smuggled HTTP/1.1\r\n\r\n")

    assert answered.status in {200, 400}
    assert all(r.body == b"" and r.header("content-length") is None for r in gate.query.received)


async def test_case_38_39_no_protocol_is_switched(gate: Portal) -> None:
    browser = await gate.signed_in()
    cookie = f"Cookie: sessionid={browser.cookies['sessionid']}"
    for upgrade in (
        "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.test",
    ):
        data = f"GET {UNITS} HTTP/1.1\r\nHost: portal.test\r\n{cookie}\r\nConnection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n"
        status = parse(await exchange(gate.url, data.encode()), head_only=True).status
        assert status in {200, 400, 403, 426}, upgrade
    preface = await exchange(gate.url, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert parse(preface, head_only=True).status == 400
    for received in gate.query.received:
        assert received.header("upgrade") is None


async def test_case_41_more_than_a_browser_sends_is_refused(gate: Portal) -> None:
    browser = await gate.signed_in()
    many = await browser.get(UNITS, **{f"X_{n}": "y" for n in range(2_000)})
    long = await browser.get(UNITS, X="y" * 60_000)
    query = await browser.get(f"{UNITS}?{'q' * 10_000}")
    url = await exchange(
        gate.url, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: portal.test\r\n\r\n"
    )

    assert (many.status, long.status, query.status) == (431, 431, 414)
    assert parse(url, head_only=True).status in {400, 414}
    assert gate.query.received == []


async def test_case_42_a_body_over_its_limit_is_refused_before_it_is_read(gate: Portal) -> None:
    browser = await gate.signed_in()
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    head = (
        f"POST /customer/api/repairs/ HTTP/1.1\r\nHost: portal.test\r\nCookie: {cookies}\r\n"
        f"X-CSRFToken: {browser.cookies['csrftoken']}\r\nContent-Type: application/json\r\n"
        "Content-Length: 300000\r\nConnection: close\r\n\r\n"
    )

    answered = parse(await exchange(gate.url, head.encode()))

    assert answered.status == 413
    assert gate.writer.received == []


async def test_case_91_92_93_95_a_message_has_one_beginning_and_one_end(gate: Portal) -> None:
    for case in ALL_FRAMING:
        await case.check(gate.url)
    assert gate.query.received == []
    assert gate.writer.received == []


async def test_case_92_a_body_without_a_length_closes_the_connection(gate: Portal) -> None:
    head = (
        b"POST /accounts/login/ HTTP/1.1\r\nHost: portal.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for parts in ((head,), (head + b"0\r\n\r\n",), (head, b"0\r\n\r\n")):
        answered = parse(await converse(gate.url, parts), head_only=True)
        assert (answered.status, answered.header("connection")) == (411, "close")
