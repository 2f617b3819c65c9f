"""Proof that a form was ours: Django's token, and what the browser itself says of the origin.

The token alone is weak against a neighbour on a sibling host who can set cookies; the origin is
what a browser cannot be made to lie about. Both are asked.

A secret is made for a user, or for nobody, and the gateway can tell for whom: so what was typed
into a page is known for its user's, however long ago the session ended. Pure.
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
#: Of a user's secret the first half is chance, 95 bits, and the second half says whose it is.
_CHANCE_LENGTH: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{32}(?:[A-Za-z0-9]{32})?")


def new_secret() -> str:
    """Return a new value for the cookie, of nobody."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


class UserSecrets:
    """Makes secrets of users; `keys` is written as the identity keys are, the first one signs.

    All gateways must agree on the keys. Secrets of a key that is no longer there are of nobody.
    """

    def __init__(self, keys: str) -> None:
        self._keys = derived_keys("users' csrf secrets", keys)

    def new(self, user_id: int) -> str:
        """Return a new value for the cookie of this user."""
        chance = new_secret()[:_CHANCE_LENGTH]
        return chance + _tag(self._keys[0], chance, user_id)

    def is_of(self, secret: str | None, user_id: int) -> bool:
        """Say whether a secret was made for this user; one of nobody is of no user."""
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
    """Return a token for a page: the secret hidden under a fresh mask, so that no two are alike."""
    pad = new_secret()
    cipher = "".join(
        _ALPHABET[(_ALPHABET.index(a) + _ALPHABET.index(b)) % len(_ALPHABET)]
        for a, b in zip(secret, pad, strict=True)
    )
    return pad + cipher


def unmask(token: str) -> str | None:
    """Return the secret of a token, masked or bare; None if it has the form of neither."""
    if not _TOKEN.fullmatch(token):
        return None
    if len(token) == _SECRET_LENGTH:
        return token
    pad, cipher = token[:_SECRET_LENGTH], token[_SECRET_LENGTH:]
    return "".join(
        _ALPHABET[_ALPHABET.index(c) - _ALPHABET.index(p)] for c, p in zip(cipher, pad, strict=True)
    )


def is_of_one(cookies: Sequence[str], token: str | None) -> bool:
    """Say whether a token belongs to one of the cookies.

    A browser sends several of one name when a parent domain or another path has set one too.
    """
    given = unmask(token or "")
    if given is None:
        return False
    wanted = [secret for cookie in cookies if (secret := unmask(cookie)) is not None]
    return any(hmac.compare_digest(secret, given) for secret in wanted)


def refusal_of_origin(
    *, own: str, origin: str | None, referer: str | None, fetch_site: str | None
) -> str | None:
    """Return why a change is not from a page of `own` (scheme://host), or None if it may be.

    A browser says one of the three; a program that says none of them over http is left to its
    token, as Django leaves it.
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
