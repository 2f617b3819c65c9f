"""Names to sign in with, as Django's form takes them. Pure."""

import unicodedata
from typing import Final

MAX_USERNAME: Final = 150


def clean_username(username: str) -> str:
    """Return a name as it is stored and compared: trimmed, NFKC."""
    return unicodedata.normalize("NFKC", username.strip())
