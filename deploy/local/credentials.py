"""Secrets of a local system: random, created at the first start, one private file each."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from deploy.local.layout import write_private

if TYPE_CHECKING:
    from pathlib import Path

ROLES = ("writer", "portal", "query", "gateway")
# Without characters that look alike on a screen.
TYPED = "abcdefghjkmnpqrstuvwxyz23456789"


def password() -> str:
    """Return a password for machines: 256 bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def typed_password() -> str:
    """Return a password for a login of the demo: easy to type, hard to guess."""
    return "-".join("".join(secrets.choice(TYPED) for _ in range(4)) for _ in range(4))


def api_key() -> str:
    """Return the text of an API key of the writer."""
    letters = string.ascii_lowercase + string.digits
    name = "".join(secrets.choice(letters) for _ in range(8))
    return f"rsw_live_{name}_{secrets.token_urlsafe(32)}"


def identity_keys() -> str:
    """Return the keys that sign and verify the identity of one audience."""
    return f"local:{secrets.token_urlsafe(32)}"


def cluster_id() -> str:
    """Return an id for a Kafka cluster: 22 characters of base64url, the first one no dash."""
    return "K" + secrets.token_urlsafe(16)[1:]


MAKERS = {
    "postgres_password": password,
    **{f"{role}_password": password for role in ROLES},
    "documents_password": password,
    "limits_password": password,
    "identity_keys_query": identity_keys,
    "identity_keys_writer": identity_keys,
    "writer_history_key": api_key,
    "internal_key": api_key,
    "kafka_cluster_id": cluster_id,
}


def path_of(folder: Path, name: str) -> Path:
    """Return the path of the file of one secret."""
    return folder / name


def one(folder: Path, name: str) -> str:
    """Return a secret, created if it is missing. An unlisted name is that of a login's password."""
    path = path_of(folder, name)
    if not path.exists():
        write_private(path, MAKERS.get(name, typed_password)() + "\n")
    return path.read_text().strip()


def every(folder: Path) -> dict[str, str]:
    """Return name -> secret of all secrets, each created if it is missing."""
    return {name: one(folder, name) for name in MAKERS}
