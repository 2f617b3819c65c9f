import pytest

from portal_access.token import QUERY, WRITER, Identity, TokenSigner, TokenVerifier
from portal_query.api.visitors import Visitors
from service_runtime.errors import Problem
from service_runtime.testing import ManualClock

KEYS = "one:" + "k" * 40
DANA = Identity(7, "dana", 42, "s1")


def test_a_token_is_believed_until_it_ends_and_no_longer() -> None:
    clock = ManualClock()
    visitors = Visitors(TokenVerifier(KEYS, QUERY), clock)
    token = TokenSigner(KEYS, QUERY).sign(DANA, clock.now()).encode()
    assert visitors.identify(token) == DANA
    clock.advance(20)
    assert visitors.identify(token) == DANA
    clock.advance(16)
    with pytest.raises(Problem) as refused:
        visitors.identify(token)
    assert refused.value.status == 401


def test_a_token_of_another_key_or_for_another_service_is_refused() -> None:
    clock = ManualClock()
    visitors = Visitors(TokenVerifier(KEYS, QUERY), clock)
    for signer in (TokenSigner("one:" + "x" * 40, QUERY), TokenSigner(KEYS, WRITER)):
        with pytest.raises(Problem):
            visitors.identify(signer.sign(DANA, clock.now()).encode())
    for token in (b"", b"\xff\xfe", b"a.b.c", b"x" * 5_000):
        with pytest.raises(Problem):
            visitors.identify(token)


def test_it_remembers_a_bounded_number_of_tokens() -> None:
    clock = ManualClock()
    visitors = Visitors(TokenVerifier(KEYS, QUERY), clock)
    sign = TokenSigner(KEYS, QUERY).sign
    visitors._known.update({b"%d" % n: (DANA, 0) for n in range(10_000)})
    visitors.identify(sign(DANA, clock.now()).encode())
    assert len(visitors._known) == 10_000
