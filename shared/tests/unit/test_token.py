"""Identity tokens: valid for their audience alone, for thirty seconds."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from portal_access.token import (
    LEEWAY_SECONDS,
    LIFETIME_SECONDS,
    QUERY,
    WRITER,
    BadKeysError,
    BadTokenError,
    Identity,
    TokenSigner,
    TokenVerifier,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32
DANA = Identity(user_id=7, username="dana", customer_id=1042, session="s-1")

HEADER = {"alg": "HS256", "typ": "gw+jwt", "kid": "new"}
CLAIMS = {
    "iss": "gateway",
    "aud": QUERY,
    "sub": "7",
    "usr": "dana",
    "cid": 1042,
    "sid": "s-1",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + LIFETIME_SECONDS,
}


def signed(*, secret: str = "n" * 32, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a correctly signed token with the given changes."""
    values = {key: value for key, value in (CLAIMS | claims).items() if value is not None}
    algorithm = (header or HEADER).get("alg", "HS256")
    return jwt.encode(
        header or HEADER, values, OctKey.import_key(secret), algorithms=[str(algorithm)]
    )


def verify(token: str, at: datetime = NOW, keys: str = NEW, audience: str = QUERY) -> Identity:
    return TokenVerifier(keys, audience).verify(token, at)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_who_was_signed_is_who_is_verified() -> None:
    assert verify(TokenSigner(NEW, QUERY).sign(DANA, NOW)) == DANA


@given(
    st.builds(
        Identity,
        user_id=st.integers(1, 2**63 - 1),
        username=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150),
        customer_id=st.integers(1, 2**63 - 1),
        session=st.text("abcdef0123456789", max_size=32),
    )
)
def test_every_identity_survives(identity: Identity) -> None:
    assert verify(TokenSigner(NEW, QUERY).sign(identity, NOW)) == identity


@pytest.mark.parametrize("letter", ["x", "é", "漢", "\U0001d49c"])
def test_the_longest_username_is_not_too_long(letter: str) -> None:
    identity = Identity(2**63 - 1, letter * 150, 2**63 - 1, "f" * 32)
    assert verify(TokenSigner(NEW, QUERY).sign(identity, NOW)) == identity


def test_the_hand_made_token_of_these_tests_is_a_good_one() -> None:
    assert verify(signed()) == DANA


def test_a_token_says_when_it_ends() -> None:
    _, ends = TokenVerifier(NEW, QUERY).verify_until(signed(), NOW)
    assert ends == int(NOW.timestamp()) + LIFETIME_SECONDS


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        (-LEEWAY_SECONDS - 1, False),
        (-LEEWAY_SECONDS, True),
        (0, True),
        (LIFETIME_SECONDS + LEEWAY_SECONDS - 0.001, True),
        (LIFETIME_SECONDS + LEEWAY_SECONDS, False),
        (86_400, False),
    ],
)
def test_a_token_is_good_for_thirty_seconds_give_or_take_the_clocks(
    seconds: float, good: bool
) -> None:
    at = NOW + timedelta(seconds=seconds)
    if good:
        assert verify(signed(), at) == DANA
    else:
        with pytest.raises(BadTokenError):
            verify(signed(), at)


def test_a_token_for_one_service_is_nothing_to_another() -> None:
    with pytest.raises(BadTokenError):
        verify(signed(), audience=WRITER)
    with pytest.raises(BadTokenError):
        verify(TokenSigner(NEW, WRITER).sign(DANA, NOW))


def test_two_keys_live_side_by_side_while_they_are_changed() -> None:
    by_old, by_new = TokenSigner(OLD, QUERY), TokenSigner(f"{NEW},{OLD}", QUERY)
    for verifier in (TokenVerifier(f"{OLD},{NEW}", QUERY), TokenVerifier(f"{NEW}, {OLD}", QUERY)):
        assert verifier.verify(by_old.sign(DANA, NOW), NOW) == DANA
        assert verifier.verify(by_new.sign(DANA, NOW), NOW) == DANA
    with pytest.raises(BadTokenError):
        verify(by_old.sign(DANA, NOW), keys=NEW)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(f"{part(HEADER | {'alg': 'none'})}.{part(CLAIMS)}.", id="alg none"),
        pytest.param(f"{part(HEADER | {'alg': 'None'})}.{part(CLAIMS)}.", id="alg None"),
        pytest.param(f"{part({'alg': 'none'})}.{part(CLAIMS)}.", id="alg none without kid"),
        pytest.param(f"{part(HEADER)}.{part(CLAIMS)}.", id="no signature"),
        pytest.param(f"{part(HEADER)}.{part(CLAIMS)}", id="two parts"),
        pytest.param(signed(header=HEADER | {"alg": "HS512"}, secret="n" * 64), id="HS512"),
        pytest.param(signed(secret="x" * 32), id="another key under our kid"),
        pytest.param(signed(header=HEADER | {"kid": "old"}), id="unknown kid"),
        pytest.param(signed(header={"alg": "HS256", "typ": "gw+jwt"}), id="no kid"),
        pytest.param(signed(header=HEADER | {"typ": "JWT"}), id="another type"),
        pytest.param(signed(header={"alg": "HS256", "kid": "new"}), id="no type"),
        pytest.param(signed(iss="somebody"), id="another issuer"),
        pytest.param(signed(iss=None), id="no issuer"),
        pytest.param(signed(aud=None), id="no audience"),
        pytest.param(signed(aud=[QUERY, WRITER]), id="two audiences"),
        pytest.param(signed(exp=None), id="no end"),
        pytest.param(signed(iat=None), id="no beginning"),
        pytest.param(signed(exp="never"), id="an end that is no number"),
        pytest.param(signed(exp=True), id="an end that is a truth value"),
        pytest.param(signed(sub=None), id="no user"),
        pytest.param(signed(sub=7), id="a user that is no text"),
        pytest.param(signed(sub="-7"), id="a negative user"),
        pytest.param(signed(sub="root"), id="a user that is no number"),
        pytest.param(signed(sub="9" * 30), id="a user beyond all numbers"),
        pytest.param(signed(usr=None), id="no username"),
        pytest.param(signed(sid=None), id="no session"),
        pytest.param(signed(cid=None), id="no customer"),
        pytest.param(signed(cid="1042"), id="a customer that is a text"),
        pytest.param(signed(cid=0), id="customer 0"),
        pytest.param(signed(cid=-1), id="customer -1"),
        pytest.param(signed(cid=2**63), id="a customer beyond all numbers"),
        pytest.param(signed(cid=True), id="a customer that is a truth value"),
        pytest.param(signed(cid=10.0), id="a customer that is a fraction"),
        pytest.param("", id="nothing"),
        pytest.param("...", id="dots"),
        pytest.param("a.b.c", id="letters"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("x" * 100_000, id="far too long"),
        pytest.param(f"{part([])}.{part([])}.{part([])}", id="lists"),
        pytest.param(f"{part(None)}.{part(None)}.AAAA", id="nulls"),
    ],
)
def test_what_the_gateway_did_not_make_for_us_is_refused(token: str) -> None:
    with pytest.raises(BadTokenError):
        verify(token)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_that_was_edited_anywhere_is_refused(place: int, change: int) -> None:
    token = bytearray(signed().encode())
    place %= len(token)
    token[place] ^= change
    edited = token.decode("latin-1")
    if _same_signature(edited):
        return
    with pytest.raises(BadTokenError):
        verify(edited)


def _same_signature(edited: str) -> bool:
    """Compare without the last character of base64, which has bits that no decoder reads."""
    return edited[:-1] == signed()[:-1]


@given(st.text(max_size=200))
def test_random_text_is_refused_and_nothing_worse(token: str) -> None:
    with pytest.raises(BadTokenError):
        verify(token)


def test_a_token_with_a_critical_extension_is_refused() -> None:
    head, claims, _ = signed().split(".")
    forged = f"{part(HEADER | {'crit': ['b64'], 'b64': True})}.{claims}.{head}"
    with pytest.raises(BadTokenError):
        verify(forged)


@pytest.mark.parametrize(
    "keys", ["", ",", "new", "new:", ":" + "x" * 32, "new:short", NEW + ",old:short", NEW + ","]
)
def test_keys_that_cannot_be_used_are_refused_without_being_shown(keys: str) -> None:
    for build in (TokenSigner, TokenVerifier):
        with pytest.raises(BadKeysError) as caught:
            build(keys, QUERY)
        assert "short" not in str(caught.value).replace("characters", "")
        assert "nnnn" not in str(caught.value)
