"""Authentication of callers: internal systems by API key, customers by the gateway's token.

Each request looks up its key in the database. Lookups that arrive during a running one share the
next query. A revoked key therefore stays revoked, at the cost of one query for many requests.
"""

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

import msgspec

from portal_access.scopes import SOURCES_ANY
from repair_writer.binding import ANY, KeyBinding
from repair_writer.store.audit import note_uses
from repair_writer.store.keys import KeyRow, find_keys
from repair_writer.store.transaction import Connection, Pool, reading
from service_runtime.data_loader import DataLoader

KEY_PREFIX: Final = "rsw_live_"
_KEY: Final = re.compile(r"rsw_live_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_ALPHABET: Final = string.ascii_lowercase + string.digits
_NOBODYS_SHA256: Final = hashlib.sha256(b"nobody's key").digest()

_BATCH: Final = 500
_WAITING: Final = 2_000
#: A lookup that takes longer is refused, within the one second that excess requests may wait.
_DEADLINE_SECONDS: Final = 0.9
#: A connection attempt continues after the deadline of its callers.
CONNECT_SECONDS: Final = 3.0
#: An id that no key has, for checks of the lookup.
_NOBODYS_ID: Final = "-"
#: Addresses of a key that are recorded between two writes to the store.
_MAX_ADDRESSES: Final = 10


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. A customer has a `customer_id` and can access only its own repairs.

    New repairs carry `source`. `binding` limits an internal system.
    """

    actor: str
    source: str
    scopes: frozenset[str] = frozenset()
    customer_id: int | None = None
    binding: KeyBinding = ANY


class ApiKey(msgspec.Struct, frozen=True):
    """A key in its two parts: the public id and the secret."""

    key_id: str
    secret: str

    @property
    def text(self) -> str:
        """Return the key as a client sends it."""
        return f"{KEY_PREFIX}{self.key_id}_{self.secret}"

    @property
    def secret_sha256(self) -> bytes:
        """Return the stored form of the secret: its SHA-256."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_key() -> ApiKey:
    """Return a new key: an id of eight letters and digits, and 32 random bytes."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return ApiKey(key_id, secrets.token_urlsafe(32))


def parse_key(text: str) -> ApiKey | None:
    """Return the key in this text. None if the text is not a key."""
    match = _KEY.fullmatch(text)
    return None if match is None else ApiKey(match[1], match[2])


class KeyRing:
    """A lookup of callers by their API keys. Concurrent lookups share a query."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lookups: DataLoader[str, KeyRow, Connection] = DataLoader(
            lambda: reading(pool, CONNECT_SECONDS),
            find_keys,
            parallel=1,
            batch_size=_BATCH,
            waiting=_WAITING,
            deadline_seconds=_DEADLINE_SECONDS,
        )
        self._used: dict[str, set[str]] = {}

    async def caller_of(self, text: str, address: str = "") -> Caller | None:
        """Return the caller with this key at this moment. None if the key is not valid.

        `address` is the source of the request, for the audit log.
        Raises the store's error while Postgres is unavailable.
        """
        key = parse_key(text)
        row = None if key is None else await self._lookups.load(key.key_id)
        # The digests are compared even for an unknown key, so the time taken reveals nothing.
        given = _NOBODYS_SHA256 if key is None else key.secret_sha256
        expected = hashlib.sha256(b"").digest() if row is None else row.secret_sha256
        if not hmac.compare_digest(given, expected) or row is None or not row.live:
            return None
        addresses = self._used.setdefault(row.key_id, set())
        if len(addresses) < _MAX_ADDRESSES:
            addresses.add(address)
        return _caller(row)

    async def check(self) -> None:
        """Look up a key as a request does, within its deadline. Raises if that fails."""
        await self._lookups.check(_NOBODYS_ID)

    async def close(self) -> None:
        """End the lookups. Waiting callers are refused as if the store were unavailable."""
        await self._lookups.close()

    async def note_uses(self) -> None:
        """Write the uses of keys since the last call, with their addresses, to the store."""
        if self._used:
            used, self._used = self._used, {}
            pairs = [(key_id, address) for key_id, every in used.items() for address in every]
            try:
                await note_uses(self._pool, pairs)
            except BaseException:
                for key_id, addresses in used.items():
                    self._used.setdefault(key_id, set()).update(addresses)
                raise


def _caller(row: KeyRow) -> Caller:
    sources = None if SOURCES_ANY in row.scopes else row.sources
    return Caller(
        actor=f"internal:{row.client}",
        source=row.sources[0],
        scopes=row.scopes,
        binding=KeyBinding(sources=sources, customers=row.customers),
    )
