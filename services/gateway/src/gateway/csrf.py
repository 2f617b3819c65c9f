"""Proof that a form was ours: Django's token, and what the browser itself says of the origin.

The token alone is weak against a neighbour on a sibling host who can set cookies; the origin is
what a browser cannot be made to lie about. Both are asked. Pure.
"""

import hmac
import re
import secrets
import string
from typing import Final
from urllib.parse import urlsplit

COOKIE: Final = "csrftoken"
HEADER: Final = b"x-csrftoken"
FIELD: Final = "csrfmiddlewaretoken"
MAX_AGE_SECONDS: Final = 31_449_600

_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_LENGTH: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{32}(?:[A-Za-z0-9]{32})?")


def new_secret() -> str:
    """Return a new value for the cookie."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


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


def same(cookie: str | None, token: str | None) -> bool:
    """Say whether a token belongs to the cookie."""
    if cookie is None or token is None:
        return False
    wanted, given = unmask(cookie), unmask(token)
    return wanted is not None and given is not None and hmac.compare_digest(wanted, given)


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
