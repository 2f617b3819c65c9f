"""Identity tokens: signed rarely, correct in content, and always valid for the receiving service."""

from gateway.identity import IdentityTokens
from gateway.store import Visitor
from portal_access.token import QUERY, TokenSigner, TokenVerifier
from service_runtime.testing import ManualClock

KEYS = "k1:" + "q" * 40


def visitor(customer_id: int = 42, user_id: int = 7) -> Visitor:
    return Visitor(b"\x01" * 32, user_id, "anna", customer_id, stale=False)


def test_a_token_says_who_asks() -> None:
    clock = ManualClock()

    token = IdentityTokens(TokenSigner(KEYS, QUERY), clock).of(visitor(), 42)

    identity = TokenVerifier(KEYS, QUERY).verify(token.decode(), clock.now())
    assert (identity.user_id, identity.username, identity.customer_id) == (7, "anna", 42)
    assert identity.session == "01" * 8


def test_a_token_is_used_again_while_it_is_good_and_never_beyond() -> None:
    clock = ManualClock()
    tokens = IdentityTokens(TokenSigner(KEYS, QUERY), clock)
    verifier = TokenVerifier(KEYS, QUERY)
    first = tokens.of(visitor(), 42)

    for _ in range(60):
        clock.advance(1)
        token = tokens.of(visitor(), 42)
        assert verifier.verify(token.decode(), clock.now()).customer_id == 42

    assert tokens.of(visitor(), 42) != first


def test_a_user_who_moves_to_another_customer_gets_another_token() -> None:
    clock = ManualClock()
    tokens = IdentityTokens(TokenSigner(KEYS, QUERY), clock)

    assert tokens.of(visitor(), 42) != tokens.of(visitor(43), 43)
    assert tokens.of(visitor(), 42) == tokens.of(visitor(), 42)
