"""Known devices, on which a user has signed in before, and the signed cookie that names them.

They are OWASP's device cookies (Slow Down Online Guessing Attacks with Device Cookies). Attempts
from a known device are counted for that device alone, so that strangers cannot lock out its user.
The cookie opens no session, and it stays after a sign-out. This module is pure.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.derived_keys import derived_keys

COOKIE: Final = "portaldevice"
#: The users of one browser, and the largest size of a cookie value with their tokens (bytes).
_MAX_TOKENS: Final = 4
_MAX_BYTES: Final = 512
_NONCE_BYTES: Final = 16
_SIGNATURE_BYTES: Final = 16
_TOKEN: Final = re.compile(r"([1-9][0-9]{0,18})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{22})")


@dataclass(frozen=True, slots=True)
class DeviceToken:
    """A device of one user, as its cookie names it."""

    user_id: int
    nonce: str

    @property
    def id_hash(self) -> bytes:
        """The hash under which the device is stored; it opens nothing."""
        return hashlib.sha256(self._text).digest()

    @property
    def _text(self) -> bytes:
        return f"{self.user_id}.{self.nonce}".encode()

    def signature(self, key: bytes) -> str:
        """Return 128 bits of the HMAC-SHA256 of user and nonce, as base64url."""
        return _base64(hmac.digest(key, self._text, "sha256")[:_SIGNATURE_BYTES])


class DeviceTokens:
    """A maker, signer and verifier of tokens; `keys` is written as the identity keys."""

    def __init__(self, keys: str) -> None:
        self._keys = derived_keys("devices of users", keys)

    @staticmethod
    def new(user_id: int) -> DeviceToken:
        """Return the token of a new device of this user."""
        return DeviceToken(user_id, _base64(secrets.token_bytes(_NONCE_BYTES)))

    def read(self, values: Iterable[bytes]) -> tuple[DeviceToken, ...]:
        """Return the tokens in these cookie values that one of the keys has signed.

        At most four are returned; a value of more than 512 bytes is ignored.
        """
        tokens: dict[DeviceToken, None] = {}
        for value in values:
            if len(value) > _MAX_BYTES:
                continue
            for text in value.decode("latin-1").split(":")[:_MAX_TOKENS]:
                token = self._verified(text)
                if token is not None:
                    tokens[token] = None
        return tuple(tokens)[:_MAX_TOKENS]

    def write(self, newest: DeviceToken, others: Iterable[DeviceToken]) -> str:
        """Return the cookie value that names `newest`, then devices of other users.

        It names at most four.
        """
        kept = [newest, *(one for one in others if one.user_id != newest.user_id)]
        return ":".join(
            f"{token.user_id}.{token.nonce}.{token.signature(self._keys[0])}"
            for token in kept[:_MAX_TOKENS]
        )

    def _verified(self, text: str) -> DeviceToken | None:
        found = _TOKEN.fullmatch(text)
        if found is None:
            return None
        token = DeviceToken(int(found[1]), found[2])
        wanted = [token.signature(key) for key in self._keys]
        return token if any(hmac.compare_digest(found[3], one) for one in wanted) else None


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
