"""Identity token of the gateway for a service: user and customer, valid for thirty seconds.

A JWT (RFC 7519) signed with HS256, one key per audience.
A compromised service can therefore mint tokens for itself alone.
The key list allows two live keys for rotation.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

HEADER: Final = "X-Gateway-Token"
ISSUER: Final = "gateway"
QUERY: Final = "query"
WRITER: Final = "writer"
LIFETIME_SECONDS: Final = 30
#: Largest difference allowed between two machines' clocks.
LEEWAY_SECONDS: Final = 5

_TYPE: Final = "gw+jwt"
_ALGORITHMS: Final = ["HS256"]
_MIN_SECRET: Final = 32
_MAX_TOKEN: Final = 2_048
_MAX_ID: Final = 2**63 - 1
_USER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


class BadKeysError(ValueError):
    """The text of the keys is not `kid:secret[,kid:secret]`; the message contains no secret."""


class BadTokenError(Exception):
    """The token is not a currently valid one of our gateway."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in user, acting for one customer; `session` is a short name of the session."""

    user_id: int
    username: str
    customer_id: int
    session: str


def _keys(text: str) -> dict[str, OctKey]:
    keys: dict[str, OctKey] = {}
    for part in text.split(","):
        kid, colon, secret = part.strip().partition(":")
        if not colon or not kid or len(secret) < _MIN_SECRET:
            raise BadKeysError(
                f"identity keys are written kid:secret[,kid:secret], each secret at least "
                f"{_MIN_SECRET} characters"
            )
        keys[kid] = OctKey.import_key(secret)
    return keys


class TokenSigner:
    """Signs identities for one audience with the first key of the list."""

    def __init__(self, keys: str, audience: str) -> None:
        self._kid, self._key = next(iter(_keys(keys).items()))
        self._audience = audience

    def sign(self, identity: Identity, now: datetime) -> str:
        """Return the token of this identity, valid for thirty seconds from `now` (aware)."""
        issued = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": self._audience,
            "sub": str(identity.user_id),
            "usr": identity.username,
            "cid": identity.customer_id,
            "sid": identity.session,
            "iat": issued,
            "exp": issued + LIFETIME_SECONDS,
        }
        header = {"alg": _ALGORITHMS[0], "typ": _TYPE, "kid": self._kid}
        return jwt.encode(header, claims, self._key, algorithms=_ALGORITHMS)


class TokenVerifier:
    """Verifies tokens for one audience, signed with any key of the list."""

    def __init__(self, keys: str, audience: str) -> None:
        self._keys = _keys(keys)
        self._audience = audience

    def verify(self, token: str, now: datetime) -> Identity:
        """Return the identity of a token that is valid at `now` (aware).

        Raises BadTokenError; its reason is for the log, never for the caller.
        """
        return self.verify_until(token, now)[0]

    def verify_until(self, token: str, now: datetime) -> tuple[Identity, int]:
        """Return the identity and the expiry of the token, in seconds since 1970.

        A cache of verified tokens drops the entry at that second. Raises BadTokenError.
        """
        if len(token) > _MAX_TOKEN:
            raise BadTokenError("longer than any token of ours")
        try:
            decoded = jwt.decode(token, self._find_key, algorithms=_ALGORITHMS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadTokenError(str(error) or type(error).__name__) from error
        if decoded.header.get("typ") != _TYPE or "crit" in decoded.header:
            raise BadTokenError("not the type of token that the gateway makes")
        return self._identity(decoded.claims, now.timestamp())

    def _find_key(self, guest: object) -> OctKey:
        headers = guest.headers() if hasattr(guest, "headers") else {}
        key = self._keys.get(str(headers.get("kid")))
        if key is None:
            raise BadTokenError("signed with a key that we do not know")
        return key

    def _identity(self, claims: dict[str, object], now: float) -> tuple[Identity, int]:
        if claims.get("iss") != ISSUER or claims.get("aud") != self._audience:
            raise BadTokenError("made by another, or for another service")
        issued, ends = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or not isinstance(ends, int):
            raise BadTokenError("without a time")
        if not issued - LEEWAY_SECONDS <= now < ends + LEEWAY_SECONDS:
            raise BadTokenError("expired, or not valid yet")
        user, name = claims.get("sub"), claims.get("usr")
        customer, session = claims.get("cid"), claims.get("sid")
        if not (
            isinstance(user, str)
            and _USER_ID.fullmatch(user)
            and int(user) <= _MAX_ID
            and isinstance(name, str)
            and type(customer) is int  # bool is a subclass of int
            and 0 < customer <= _MAX_ID
            and isinstance(session, str)
        ):
            raise BadTokenError("without a user, a session or a customer")
        return Identity(int(user), name, customer, session), ends
