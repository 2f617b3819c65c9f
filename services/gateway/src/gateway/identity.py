"""Identity tokens of a visitor for a service; each is used for up to 24 s of its 30 s lifetime.

Signing costs more than all other work of a request. So a token is used again for the same session,
user and customer until shortly before its end. It identifies the visitor and opens no session.
"""

from typing import Final

from gateway.store import Visitor
from portal_access.token import LIFETIME_SECONDS, Identity, TokenSigner
from service_runtime.clock import Clock

_SPARE_SECONDS: Final = 5
_MAX_KEPT: Final = 10_000

_Key = tuple[bytes, int, int]


class IdentityTokens:
    """A signer of tokens for one service."""

    def __init__(self, signer: TokenSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._kept: dict[_Key, tuple[float, bytes]] = {}

    def of(self, visitor: Visitor, customer_id: int) -> bytes:
        """Return a token that is valid for at least five more seconds."""
        key = (visitor.id_hash, visitor.user_id, customer_id)
        kept = self._kept.get(key)
        now = self._clock.monotonic()
        if kept is not None and now < kept[0]:
            return kept[1]
        identity = Identity(visitor.user_id, visitor.username, customer_id, visitor.session)
        token = self._signer.sign(identity, self._clock.now()).encode()
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        # A token's lifetime begins at the last whole second.
        self._kept[key] = (now + LIFETIME_SECONDS - _SPARE_SECONDS - 1, token)
        return token
