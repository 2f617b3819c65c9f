"""Redirect targets: written and checked as Django 5.2 does; the expected values are its own
results.
"""

import pytest

from gateway.redirects import (
    as_location,
    is_safe_next,
    login_location,
    query_field,
    slashed_location,
)

UNITS = "/customer/api/unit-repair-data/"


@pytest.mark.parametrize(
    ("query", "after"),
    [
        ("", ""),
        ("a=1&b=x%20y&c=/z&n=//evil", "%3Fa%3D1%26b%3Dx%2520y%26c%3D/z%26n%3D//evil"),
        ("a=1", "%3Fa%3D1"),
        ("a[]=1&b={x}", "%3Fa%5B%5D%3D1%26b%3D%257Bx%257D"),
        ("q=a+b&c=%zz", "%3Fq%3Da%2Bb%26c%3D%25zz"),
        ("a='x'&b=\"y\"", "%3Fa%3D%27x%27%26b%3D%2522y%2522"),
        ("x=<s>", "%3Fx%3D%253Cs%253E"),
        ("~!*()@:,;$#", "%3F~%21%2A%28%29%40%3A%2C%3B%24%23"),
        ("%C3%A9", "%3F%25C3%25A9"),
        ("\xc3\xa9", "%3F%25C3%2583%25C2%25A9"),
        ("\\x", "%3F%255Cx"),
        ("^`|", "%3F%255E%2560%257C"),
        ("next=/customer/", "%3Fnext%3D/customer/"),
        ("a b", "%3Fa%2520b"),
    ],
)
def test_the_way_back_is_quoted_as_django_quotes_it(query: str, after: str) -> None:
    assert login_location(UNITS, query) == f"/accounts/login/?next={UNITS}{after}"


def test_the_path_is_requoted_as_django_requotes_it() -> None:
    assert login_location("/é=;x/", "") == "/accounts/login/?next=/%25C3%25A9%253D%253Bx/"
    assert login_location("/a-b/", "") == "/accounts/login/?next=/a-b/"


def test_a_missing_slash_is_added_before_the_query() -> None:
    assert slashed_location(UNITS[:-1], "x=1") == f"{UNITS}?x=1"
    assert slashed_location(UNITS[:-1], "") == UNITS


# Each address with Django's verdict on http and on https, and the Location it would write.
ADDRESSES = [
    ("/app/", True, True, "/app/"),
    ("app", True, True, "app"),
    ("?a=1", True, True, "?a=1"),
    ("/app/#f", True, True, "/app/#f"),
    ("/é?x=ü", True, True, "/%C3%A9?x=%C3%BC"),
    ("/%2f%2fevil.test", True, True, "/%2f%2fevil.test"),
    ("/.//evil.test", True, True, "/.//evil.test"),
    ("//portal.test/x", True, False, "//portal.test/x"),
    ("http://portal.test/x", True, False, "http://portal.test/x"),
    ("https://portal.test/x", True, True, "https://portal.test/x"),
    ("/a\r\nSet-Cookie: x", True, True, "/a%0D%0ASet-Cookie:%20x"),
    ("/x y", True, True, "/x%20y"),
    ("//evil.test", False, False, ""),
    ("///evil.test", False, False, ""),
    ("/\\evil.test", False, False, ""),
    ("\\\\evil.test", False, False, ""),
    ("https:evil.test", False, False, ""),
    ("https:///evil.test", False, False, ""),
    ("javascript:alert(1)", False, False, ""),
    ("ftp://portal.test/x", False, False, ""),
    ("http://portal.test:80/", False, False, ""),
    ("http://user@portal.test/", False, False, ""),
    ("http://[::1", False, False, ""),
    ("\t//evil.test", False, False, ""),
    ("\b//evil.test", False, False, ""),
    ("/" + "a" * 2_048, False, False, ""),
    ("", False, False, ""),
    (" ", False, False, ""),
    ("http:\\\\evil.test", False, False, ""),
]


@pytest.mark.parametrize(("address", "http", "https", "location"), ADDRESSES)
def test_signing_in_leads_where_django_would_lead(
    address: str, http: bool, https: bool, location: str
) -> None:
    assert is_safe_next(address, "portal.test", https=False) is http
    assert is_safe_next(address, "portal.test", https=True) is https
    if http:
        assert as_location(address) == location


def test_the_last_field_of_a_query_counts() -> None:
    assert query_field(b"next=/a&next=/b", "next") == "/b"
    assert query_field(b"other=1", "next") == ""
    assert query_field(b"&".join([b"a=1"] * 200), "next") == ""
