"""Names to sign in with, as Django's form takes them. Pure."""

import unicodedata
from typing import Final

MAX_USERNAME: Final = 150


def clean_username(username: str) -> str:
    """Return a name as it is stored and compared: trimmed, NFKC.

    One that is too long comes back as it is, for the caller to refuse, as Django's form has it
    (CVE-2023-46695): NFKC takes the square of the longest run of combining marks.
    """
    name = username.strip()
    return name if len(name) > MAX_USERNAME else unicodedata.normalize("NFKC", name)
