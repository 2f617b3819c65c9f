"""Redirect targets and their encoding, byte for byte as Django wrote them.

This module is pure. `tests/unit` compares it with responses of Django itself.
"""

import unicodedata
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from gateway.routes import LOGIN_PATH

MAX_LOCATION: Final = 16_384
_MAX_NEXT: Final = 2_048
_MAX_FIELDS: Final = 100
_IN_PATH: Final = "/:@&+$,-_.!~*'()"
_IN_QUERY: Final = "/#%[]=:;$&()+,!?*@'~"


def target(path: str, query: str) -> str:
    """Return the path (decoded) and the query (as sent, as Latin-1 text) as one address."""
    return quote(path, safe=_IN_PATH) + ("?" + quote(query, safe=_IN_QUERY) if query else "")


def login_location(path: str, query: str) -> str:
    """Return the sign-in address for a request without a session, with the way back in `next`."""
    return f"{LOGIN_PATH}?next={quote(target(path, query), safe='/')}"


def slashed_location(path: str, query: str) -> str:
    """Return the address with the closing slash that the request lacks.

    No address of the portal begins with two slashes, so this one never names a host.
    """
    return target(path + "/", query)


def as_location(address: str) -> str:
    """Return an address from a user as header text: ASCII, without control characters."""
    return quote(address, safe="/#%[]=:;$&()+,!?*@'~")


def is_safe_next(address: str, host: str, *, https: bool) -> bool:
    """Return whether a sign-in may redirect to this address: on `host`, and by https if `https`.

    A browser reads a backslash as a slash, so both readings are checked.
    """
    address = address.strip()
    if not address:
        return False
    return _leads_here(address, host, https=https) and _leads_here(
        address.replace("\\", "/"), host, https=https
    )


def _leads_here(address: str, host: str, *, https: bool) -> bool:
    if len(address) > _MAX_NEXT or address.startswith("///"):
        return False
    if unicodedata.category(address[0])[0] == "C":  # a browser would skip it
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if not parts.netloc and parts.scheme:
        return False
    scheme = parts.scheme or ("http" if parts.netloc else "")
    return (not parts.netloc or parts.netloc == host) and (
        not scheme or scheme in ({"https"} if https else {"http", "https"})
    )


def query_field(query: bytes, name: str) -> str:
    """Return the last value of a field of a query string, or an empty text."""
    try:
        fields = parse_qsl(query.decode("latin-1"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return ""
    return dict(fields).get(name, "")
