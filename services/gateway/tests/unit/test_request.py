"""Parsing of a request's claims, and the trust in them."""

import asyncio
import re
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from gateway import request as request_module
from gateway.request import (
    BodyTooLargeError,
    ClientGoneError,
    Hosts,
    MalformedError,
    Peers,
    Request,
)

SESSION = "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4"


def request(
    *headers: tuple[str, str], messages: list[dict[str, Any]] | None = None, peer: str = "10.0.0.9"
) -> Request:
    waiting = list(messages or [])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return waiting.pop(0)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "client": (peer, 4711),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    return Request(scope, receive, "id")


OTHER, THIRD = SESSION[::-1], "0" * 32


@pytest.mark.parametrize(
    ("cookies", "present", "ids"),
    [
        ([], False, []),
        (["csrftoken=x"], False, []),
        ([f"sessionid={SESSION}"], True, [SESSION]),
        ([f"__Host-sessionid={SESSION}"], True, [SESSION]),
        ([f"a=b; sessionid={SESSION}; c=d"], True, [SESSION]),
        ([f"a=b;sessionid={SESSION}"], True, [SESSION]),
        (["a=b", f"sessionid={SESSION}"], True, [SESSION]),
        ([f"sessionid={SESSION} "], True, [SESSION]),
        ([f" a=b;\t sessionid= {SESSION} ;c=d\t"], True, [SESSION]),
        ([f"sessionid={SESSION} ; sessionid={SESSION}"], True, [SESSION]),
        ([f"sessionid={SESSION}; sessionid={SESSION}"], True, [SESSION]),
        ([f"sessionid={SESSION}; sessionid={OTHER}"], True, [OTHER, SESSION]),
        ([f"sessionid={SESSION}", f"sessionid={OTHER}"], True, [OTHER, SESSION]),
        (
            [f"sessionid={THIRD}; __Host-sessionid={SESSION}; sessionid={OTHER}"],
            True,
            [SESSION, OTHER, THIRD],
        ),
        ([f"sessionid=junk; sessionid={SESSION}; sessionid="], True, [SESSION]),
        (["sessionid="], True, []),
        (["sessionid=abcdefg"], True, []),
        ([f"sessionid={SESSION}a"], True, []),
        ([f"sessionid={SESSION.upper()}"], True, []),
        (["sessionid=../../../../etc/passwd"], True, []),
        (["sessionid=éééééééééééééééééééééééééééééééé"], True, []),
        ([f'sessionid="{SESSION}"'], True, []),
        ([f"x=sessionid={SESSION}"], False, []),
        ([f"xsessionid={SESSION}"], False, []),
        ([f"__Secure-sessionid={SESSION}"], False, []),
        ([f"__host-sessionid={SESSION}"], False, []),
        ([f"Sessionid={SESSION}"], False, []),
        ([f"\u00a0sessionid={SESSION}"], False, []),
        ([f"a=b; \u2003sessionid={SESSION}"], False, []),
        ([f"sessionid ={SESSION}"], False, []),
    ],
)
def test_a_session_cookie_is_exactly_a_session_cookie(
    cookies: list[str], present: bool, ids: list[str]
) -> None:
    found = request(*(("Cookie", text) for text in cookies)).session_cookies()

    assert bool(found.names) is present
    assert found.ids == tuple(one.encode() for one in ids)


def test_a_few_session_cookies_are_looked_at_and_ours_is_among_them() -> None:
    junk = "; ".join(f"sessionid={number:032d}" for number in range(300))

    found = request(("Cookie", f"{junk}; __Host-sessionid={SESSION}; {junk}")).session_cookies()

    assert len(found.ids) == 4
    assert found.ids[0] == SESSION.encode()
    assert found.names == ("__Host-sessionid", "sessionid")


def test_the_csrf_cookie_is_letters_and_digits() -> None:
    secret = "aB3" * 10 + "xy"

    assert request(("Cookie", f"csrftoken={secret}")).csrf_cookies() == [secret]
    assert request(("Cookie", f"a=b;  csrftoken={secret} \t")).csrf_cookies() == [secret]
    assert request(("Cookie", f"csrftoken= {secret} ; a=b")).csrf_cookies() == [secret]
    assert request(("Cookie", "csrftoken=short")).csrf_cookies() == []
    assert request(("Cookie", f"csrftoken={secret[:-1]}!")).csrf_cookies() == []
    several = "; ".join(f"csrftoken={secret[:-1]}{digit}" for digit in range(9))
    assert len(request(("Cookie", several)).csrf_cookies()) == 4
    assert request().csrf_cookies() == []


def unbounded_repeats(parsed: Any) -> int:
    """Return the number of unbounded repeats that backtrack when the rest fails."""
    found = 0
    for operation, argument in parsed:
        if operation in {_constants.MAX_REPEAT, _constants.MIN_REPEAT}:
            found += argument[1] == _constants.MAXREPEAT
        for part in argument if isinstance(argument, tuple | list) else ():
            subpatterns = part if isinstance(part, list) else [part]
            for one in subpatterns:
                if isinstance(one, _parser.SubPattern):
                    found += unbounded_repeats(one)
    return found


def test_each_byte_of_a_cookie_is_looked_at_once() -> None:
    """Two repeats that may share white space try every split of it: 12 s for 16 kB of spaces."""
    assert unbounded_repeats(_parser.parse(r"(?:a| *b *)*+")) == 2
    patterns = {
        name: pattern
        for name, pattern in vars(request_module).items()
        if isinstance(pattern, re.Pattern)
    }
    assert "_DEVICE" in patterns
    for name, pattern in patterns.items():
        assert not unbounded_repeats(_parser.parse(pattern.pattern)), name


def test_a_device_cookie_is_one_text() -> None:
    spaces = " " * 16_000
    found = request(("Cookie", f"portaldevice={spaces}a.b{spaces}; portaldevice={spaces}!"))
    assert found.device_cookies() == [b"a.b"]


def test_cookies_of_a_neighbour_do_not_push_out_ours() -> None:
    # A browser sends longer paths first, so a cookie of a neighbouring path precedes ours.
    planted = "; ".join(f"portaldevice=x{n}; csrftoken={'z' * 31}{n}" for n in range(9))
    own = "csrftoken=" + "a" * 32

    found = request(("Cookie", f"{planted}; portaldevice=7.ours; {own}"))
    assert found.device_cookies()[0] == b"7.ours"
    assert found.csrf_cookies()[0] == "a" * 32

    # The prefix binds it to this host, so it takes precedence in any position.
    found = request(("Cookie", f"__Host-portaldevice=7.ours; {planted}"))
    assert found.device_cookies()[0] == b"7.ours"
    assert len(found.device_cookies()) == len(found.csrf_cookies()) == 4


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    asked = request(("Host", " portal.test\t"), ("X-CSRFToken", "t "), ("If-Match", '"a" '))

    assert asked.text(b"host") == "portal.test"
    assert asked.text(b"x-csrftoken") == "t"
    assert request(("If-Match", ' "a"'), ("If-Match", '"b" ')).text(b"if-match") == '"a", "b"'


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("portal.test", "portal.test"),
        ("PORTAL.test:8080", "portal.test:8080"),
        ("portal.test.", "portal.test."),
        ("a.fleet.test", "a.fleet.test"),
        ("fleet.test", "fleet.test"),
        ("evilfleet.test", None),
        ("evil.test", None),
        ("portal.test.evil.test", None),
        ("portal.test/x?y", None),
        ("portal.test@evil.test", None),
        ("portal.test, portal.test", None),
        ("portal.test:port", None),
        ("", None),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_only_our_own_names_are_answered_to(header: str, accepted: str | None) -> None:
    hosts = Hosts(["portal.test", ".fleet.test", "[::1]"])

    assert hosts.accept(header.encode()) == accepted
    assert hosts.accept(header.encode()) == accepted


def test_a_request_without_a_host_is_nobodys() -> None:
    assert Hosts(["portal.test"]).accept(None) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", "6.6.6.6", "203.0.113.5"),
        ("10.0.0.9", None, "10.0.0.9"),
        ("10.0.0.9", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.9", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.9", "6.6.6.6, 198.51.100.7, 10.0.0.8", "198.51.100.7"),
        ("10.0.0.9", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("10.0.0.9", "a", "10.0.0.9"),
        ("10.0.0.9", "", "10.0.0.9"),
        ("10.0.0.9", "x" * 10_000, "10.0.0.9"),
        ("10.0.0.9", "fe80::1%eth0", "10.0.0.9"),
        ("10.0.0.9", "6.6.6.6, nonsense, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.9", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.9", "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.9", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_client_is_the_first_hop_that_is_not_ours(
    peer: str, forwarded: str | None, client: str
) -> None:
    headers = [] if forwarded is None else [("X-Forwarded-For", forwarded)]

    assert Peers(["10.0.0.0/8"]).client_of(request(*headers, peer=peer)) == client


def test_without_proxies_of_ours_nothing_is_believed() -> None:
    assert Peers([]).client_of(request(("X-Forwarded-For", "6.6.6.6"))) == "10.0.0.9"


def test_more_headers_than_a_browser_sends_are_refused() -> None:
    with pytest.raises(MalformedError) as many:
        request(*((f"x-{n}", "y") for n in range(2_000)))

    assert many.value.status == 431


def test_a_body_without_a_length_is_refused() -> None:
    with pytest.raises(MalformedError) as error:
        request(("Transfer-Encoding", "chunked"))

    assert error.value.status == 411


async def test_a_body_is_read_once_and_kept() -> None:
    asked = request(
        ("Content-Length", "6"),
        messages=[{"type": "http.request", "body": b"abc", "more_body": True},
                  {"type": "http.request", "body": b"def"}],
    )  # fmt: skip

    assert await asked.body(10) == b"abcdef"
    assert await asked.body(10) == b"abcdef"


async def test_half_a_body_is_no_body() -> None:
    asked = request(
        ("Content-Length", "6"),
        messages=[{"type": "http.request", "body": b"abc", "more_body": True},
                  {"type": "http.disconnect"}],
    )  # fmt: skip

    with pytest.raises(ClientGoneError):
        await asked.body(10)


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    for length in ("11", "9" * 30):
        with pytest.raises(BodyTooLargeError):
            await request(("Content-Length", length)).body(10)


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    asked = request(messages=[{"type": "http.request", "body": b"x" * 11}])

    with pytest.raises(BodyTooLargeError):
        await asked.body(10)


async def test_a_form_is_read_with_the_last_of_each_field() -> None:
    asked = request(
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("Content-Length", "20"),
        messages=[{"type": "http.request", "body": b"a=1&a=2&b=%C3%A9&c="}],
    )

    assert await asked.form(100) == {"a": "2", "b": "é", "c": ""}


@pytest.mark.parametrize("body", [b"&".join([b"a=1"] * 513), b"\xff=1"])
async def test_a_form_that_no_page_of_ours_sends_is_empty(body: bytes) -> None:
    asked = request(
        ("Content-Type", "application/x-www-form-urlencoded"),
        messages=[{"type": "http.request", "body": body}],
    )

    assert await asked.form(4_000) == {}


async def test_what_is_no_form_is_not_read_as_one() -> None:
    assert await request(("Content-Type", "application/json")).form(100) == {}
