"""Secret keys for one purpose, derived from the identity keys, so that no purpose needs a setting.

All gateways must agree on the identity keys. They are written `kid:secret,kid:secret`; the first
one signs, every one verifies. This module is pure.
"""

import hashlib


def derived_keys(purpose: str, keys: str) -> list[bytes]:
    """Return the keys of this purpose, the signing one first (SHA-256 of purpose and key)."""
    return [
        hashlib.sha256(purpose.encode() + key.strip().encode()).digest() for key in keys.split(",")
    ]
