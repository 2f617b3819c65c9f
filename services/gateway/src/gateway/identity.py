"""The gateway's word to a service about a visitor, signed at most every half minute.

Signing costs more than everything else of a request; a token is used again by the same session,
user and customer until shortly before its end. It says who asked; it never opens a session.
"""

from typing import Final

from gateway.store import Visitor
from portal_access.token import LIFETIME_SECONDS, Identity, TokenSigner
from service_runtime.clock import Clock

_SPARE_SECONDS: Final = 5
_MAX_KEPT: Final = 10_000

_Key = tuple[bytes, int, int]


class IdentityTokens:
    """Signs tokens for one service."""

    def __init__(self, signer: TokenSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._kept: dict[_Key, tuple[float, bytes]] = {}

    def of(self, visitor: Visitor, customer_id: int) -> bytes:
        """Return a token that is good for at least five seconds."""
        key = (visitor.id_hash, visitor.user_id, customer_id)
        kept = self._kept.get(key)
        now = self._clock.monotonic()
        if kept is not None and now < kept[0]:
            return kept[1]
        identity = Identity(visitor.user_id, visitor.username, customer_id, visitor.session)
        token = self._signer.sign(identity, self._clock.now()).encode()
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        # A token's life begins at the whole second before now.
        self._kept[key] = (now + LIFETIME_SECONDS - _SPARE_SECONDS - 1, token)
        return token
