"""Usernames, normalised as Django's sign-in form does it. This module is pure."""

import unicodedata
from typing import Final

MAX_USERNAME: Final = 150


def clean_username(username: str) -> str:
    """Return a name as it is stored and compared: trimmed, NFKC.

    A name of more than 150 characters is only trimmed, and the caller rejects it, as in Django.
    NFKC takes quadratic time in the longest run of combining marks (CVE-2023-46695).
    """
    name = username.strip()
    return name if len(name) > MAX_USERNAME else unicodedata.normalize("NFKC", name)
