"""Tokens as Django makes them, and what a browser says of where a request comes from."""

import pytest

from gateway import csrf

# Made by Django 5.2: the cookie that it set, and the token that it put into the page.
COOKIE = "84RKSpmDbX7PEUTeElIiNpEtgnJ6eWJz"
MASKED = "XeRJha5GkxoZoPdYxzlBbP8mlVgWh5vlV8yjZph9lklESzW21KTJO4CFr8PSlR4K"


def test_a_token_that_django_made_is_accepted() -> None:
    assert csrf.unmask(MASKED) == COOKIE
    assert csrf.same(COOKIE, MASKED)


def test_a_bare_secret_is_accepted_as_its_own_token() -> None:
    assert csrf.same(COOKIE, COOKIE)


def test_a_masked_cookie_of_an_old_django_is_accepted() -> None:
    assert csrf.same(MASKED, MASKED)


def test_two_tokens_of_one_secret_are_never_alike() -> None:
    secret = csrf.new_secret()

    one, other = csrf.mask(secret), csrf.mask(secret)

    assert one != other
    assert csrf.unmask(one) == csrf.unmask(other) == secret


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "abcdefghij",
        COOKIE[:-1] + "!",
        COOKIE + "é" * 32,
        MASKED[::-1],
        COOKIE[::-1],
        MASKED + "a",
    ],
)
def test_any_other_token_is_refused(token: str | None) -> None:
    assert not csrf.same(COOKIE, token)


def test_nothing_is_accepted_without_the_cookie() -> None:
    assert not csrf.same(None, MASKED)
    assert not csrf.same("short", MASKED)


HTTPS, HTTP = "https://portal.test", "http://portal.test"


@pytest.mark.parametrize(
    ("own", "origin", "referer", "site", "allowed"),
    [
        (HTTPS, HTTPS, None, None, True),
        (HTTPS, "null", None, None, False),
        (HTTPS, "https://evil.test", None, None, False),
        (HTTPS, HTTP, None, None, False),
        (HTTP, HTTPS, None, None, False),
        (HTTPS, "https://portal.test:444", None, None, False),
        (HTTPS, None, None, None, False),
        (HTTPS, None, "http://portal.test/accounts/login/", None, False),
        (HTTPS, None, "https://evil.test/", None, False),
        (HTTPS, None, "https://portal.test.evil.test/", None, False),
        (HTTPS, None, "https://[", None, False),
        (HTTPS, None, "https://portal.test/accounts/login/", None, True),
        (HTTP, None, None, None, True),
        (HTTP, None, "http://evil.test/", None, True),
        (HTTPS, HTTPS, None, "same-origin", True),
        (HTTPS, HTTPS, None, "none", True),
        (HTTPS, HTTPS, None, "cross-site", False),
        (HTTP, None, None, "same-site", False),
    ],
)
def test_a_change_must_come_from_a_page_of_ours(
    own: str, origin: str | None, referer: str | None, site: str | None, allowed: bool
) -> None:
    reason = csrf.refusal_of_origin(own=own, origin=origin, referer=referer, fetch_site=site)

    assert (reason is None) is allowed
