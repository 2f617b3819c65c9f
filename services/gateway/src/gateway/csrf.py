"""CSRF protection: Django's token, and the origin that the browser reports.

The token alone is weak against a sibling host that can set cookies. A page cannot forge the origin
that its browser reports. Both are checked.

A secret is made for a user, or for no user, and the gateway can verify for which. So it recognises
a user's form however long ago the session ended. This module is pure.
"""

import hmac
import re
import secrets
import string
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.derived_keys import derived_keys

COOKIE: Final = "csrftoken"
HEADER: Final = b"x-csrftoken"
FIELD: Final = "csrfmiddlewaretoken"
MAX_AGE_SECONDS: Final = 31_449_600

_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_LENGTH: Final = 32
#: The first half of a user's secret is random (95 bits). The second half identifies the user.
_CHANCE_LENGTH: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{32}(?:[A-Za-z0-9]{32})?")


def new_secret() -> str:
    """Return a new value for the cookie; it belongs to no user."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


class UserSecrets:
    """A maker and verifier of users' secrets; `keys` is written as the identity keys.

    The first key signs, every key verifies. All gateways must agree on the keys. A secret of a
    removed key belongs to no user.
    """

    def __init__(self, keys: str) -> None:
        self._keys = derived_keys("users' csrf secrets", keys)

    def new(self, user_id: int) -> str:
        """Return a new value for the cookie of this user."""
        chance = new_secret()[:_CHANCE_LENGTH]
        return chance + _tag(self._keys[0], chance, user_id)

    def is_of(self, secret: str | None, user_id: int) -> bool:
        """Return whether a secret was made for this user; a secret of no user gives False."""
        if secret is None:
            return False
        chance, given = secret[:_CHANCE_LENGTH], secret[_CHANCE_LENGTH:]
        wanted = [_tag(key, chance, user_id) for key in self._keys]
        return any(hmac.compare_digest(given, tag) for tag in wanted)


def _tag(key: bytes, chance: str, user_id: int) -> str:
    number = int.from_bytes(hmac.digest(key, f"{chance}{user_id}".encode(), "sha256"))
    digits: list[str] = []
    for _ in range(_SECRET_LENGTH - _CHANCE_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def mask(secret: str) -> str:
    """Return a token for a page: the secret under a fresh mask, so that no two tokens are alike."""
    pad = new_secret()
    cipher = "".join(
        _ALPHABET[(_ALPHABET.index(a) + _ALPHABET.index(b)) % len(_ALPHABET)]
        for a, b in zip(secret, pad, strict=True)
    )
    return pad + cipher


def unmask(token: str) -> str | None:
    """Return the secret of a token, masked or bare; None if it has neither form."""
    if not _TOKEN.fullmatch(token):
        return None
    if len(token) == _SECRET_LENGTH:
        return token
    pad, cipher = token[:_SECRET_LENGTH], token[_SECRET_LENGTH:]
    return "".join(
        _ALPHABET[_ALPHABET.index(c) - _ALPHABET.index(p)] for c, p in zip(cipher, pad, strict=True)
    )


def is_of_one(cookies: Sequence[str], token: str | None) -> bool:
    """Return whether a token belongs to one of the cookies.

    A browser sends several cookies of one name if a parent domain or another path has set one too.
    """
    given = unmask(token or "")
    if given is None:
        return False
    wanted = [secret for cookie in cookies if (secret := unmask(cookie)) is not None]
    return any(hmac.compare_digest(secret, given) for secret in wanted)


def refusal_of_origin(
    *, own: str, origin: str | None, referer: str | None, fetch_site: str | None
) -> str | None:
    """Return why a change does not come from a page of `own` (scheme://host), or None if it may.

    A browser sends at least one of the three headers. A client over http that sends none is checked
    by its token alone, as Django does it.
    """
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        return "the browser says that it comes from another site"
    if origin is not None:
        return None if origin == own else "its origin is another one"
    if not own.startswith("https://"):
        return None
    if referer is None:
        return "it names no page that it comes from"
    try:
        parts = urlsplit(referer)
    except ValueError:
        return "the page that it comes from has no address"
    return None if f"{parts.scheme}://{parts.netloc}" == own else "it comes from another page"
