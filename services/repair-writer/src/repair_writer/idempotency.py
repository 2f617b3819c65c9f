"""Idempotency keys: one effect and one response for each key, however often it is sent.

A key belongs to a caller, a method and a path.
Its advisory lock is taken first and ends with the transaction.
The outcome is stored in the same transaction as the change. Refusals are not stored.
"""

import hashlib

import msgspec

from repair_writer.store.changes import Kept


class IdempotencyKey(msgspec.Struct, frozen=True, kw_only=True):
    """The SHA-256 digests of a key in its scope and of its request's content."""

    digest: bytes
    request_digest: bytes

    @property
    def lock(self) -> int:
        """Return the number of the key's advisory lock, a signed 64-bit integer."""
        return int.from_bytes(self.digest[:8], "big", signed=True)

    def keep(self, outcome: bytes) -> Kept:
        """Return the row that stores this outcome (JSON bytes)."""
        return Kept(key_digest=self.digest, request_digest=self.request_digest, outcome=outcome)


def scoped_key(
    *, actor: str, method: str, path: str, key: str, query: bytes, body: bytes
) -> IdempotencyKey:
    """Return the key in the scope of its caller, method and path.

    The request digest covers the query and the body.
    """
    scope = f"{actor}\0{method}\0{path}\0{key}".encode()
    request = hashlib.sha256(query + b"\0" + body)
    return IdempotencyKey(digest=hashlib.sha256(scope).digest(), request_digest=request.digest())
