"""Idempotency keys: one effect per key, and the same answer for whoever repeats the request.

A key belongs to a caller, a method and a path. Its advisory lock is taken first and ends with the
transaction; the outcome is kept in the same transaction as the change. Refusals are not kept.
"""

import hashlib

import msgspec

from repair_writer.store.changes import Kept


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key in its scope, and what the request with it said."""

    digest: bytes
    request_digest: bytes

    @property
    def lock(self) -> int:
        """The number of the key's advisory lock, a signed 64-bit integer."""
        return int.from_bytes(self.digest[:8], "big", signed=True)

    def keep(self, outcome: bytes) -> Kept:
        """Return the row that remembers this outcome."""
        return Kept(key_digest=self.digest, request_digest=self.request_digest, outcome=outcome)


def scoped_key(
    *, actor: str, method: str, path: str, key: str, query: bytes, body: bytes
) -> IdempotencyKey:
    """Return the key in the scope of its caller, method and path."""
    scope = f"{actor}\0{method}\0{path}\0{key}".encode()
    request = hashlib.sha256(query + b"\0" + body)
    return IdempotencyKey(digest=hashlib.sha256(scope).digest(), request_digest=request.digest())
