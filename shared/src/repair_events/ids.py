"""New identifiers: UUIDv7, so that rows created together lie together on disk."""

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 as text (RFC 9562, section 5.7)."""
    return str(uuid_utils.uuid7())
