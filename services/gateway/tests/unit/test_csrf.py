"""CSRF tokens as Django makes them, and the browser's headers about the origin of a request."""

import pytest

from gateway import csrf

# Made by Django 5.2: the cookie that it set, and the token that it put into the page.
COOKIE = "84RKSpmDbX7PEUTeElIiNpEtgnJ6eWJz"
MASKED = "XeRJha5GkxoZoPdYxzlBbP8mlVgWh5vlV8yjZph9lklESzW21KTJO4CFr8PSlR4K"


def test_a_token_that_django_made_is_accepted() -> None:
    assert csrf.unmask(MASKED) == COOKIE
    assert csrf.is_of_one([COOKIE], MASKED)


def test_a_bare_secret_is_accepted_as_its_own_token() -> None:
    assert csrf.is_of_one([COOKIE], COOKIE)


def test_a_masked_cookie_of_an_old_django_is_accepted() -> None:
    assert csrf.is_of_one([MASKED], MASKED)


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
    assert not csrf.is_of_one([COOKIE], token)


def test_a_token_belongs_to_any_of_the_cookies_that_a_browser_sends() -> None:
    others = ["a" * 32, "short", "b" * 32]

    assert csrf.is_of_one([*others, COOKIE], MASKED)
    assert not csrf.is_of_one(others, MASKED)


def test_nothing_is_accepted_without_the_cookie() -> None:
    assert not csrf.is_of_one([], MASKED)
    assert not csrf.is_of_one(["short"], MASKED)


KEYS = csrf.UserSecrets("k1:" + "q" * 40)


def test_a_users_secret_is_one_of_djangos_form_and_never_the_same() -> None:
    one, other = KEYS.new(7), KEYS.new(7)

    assert one != other
    assert csrf.unmask(one) == one
    assert csrf.unmask(csrf.mask(one)) == one


def test_a_secret_tells_for_whom_it_was_made() -> None:
    secret = KEYS.new(7)

    assert KEYS.is_of(secret, 7)
    for user_id in (1, 6, 8, 77, 0, -7):
        assert not KEYS.is_of(secret, user_id)


def test_what_the_gateway_did_not_make_for_a_user_is_of_nobody() -> None:
    secret, other = KEYS.new(7), KEYS.new(8)
    changed = [
        secret[:at] + ("a" if secret[at] != "a" else "b") + secret[at + 1 :] for at in range(32)
    ]
    mixed = [secret[:16] + other[16:], other[:16] + secret[16:]]
    foreign = csrf.UserSecrets("k1:" + "r" * 40).new(7)

    for forged in [None, "", csrf.new_secret(), COOKIE, foreign, *changed, *mixed]:
        assert not KEYS.is_of(forged, 7)


def test_a_secret_is_known_while_its_key_is_in_the_list() -> None:
    secret = KEYS.new(7)
    both = csrf.UserSecrets(f"k2:{'n' * 40}, k1:{'q' * 40}")

    assert both.is_of(secret, 7)
    assert not KEYS.is_of(both.new(7), 7)


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
