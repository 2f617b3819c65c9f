"""Who calls: an internal system by its API key, or a customer by the gateway's word.

A key is looked up for each request, together with those that arrive while the last look-up is
under way: truth costs one query for many, and nothing can revive a revoked key.
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
#: What cannot be looked up by then is refused, within the second that an excess may wait.
_DEADLINE_SECONDS: Final = 0.9
#: Connecting goes on when its callers have been given up.
CONNECT_SECONDS: Final = 3.0
#: The id of no key: a check looks it up as a request would look up its own.
_NOBODYS_ID: Final = "-"
#: Addresses of a key that are remembered between two notes of its use.
_MAX_ADDRESSES: Final = 10


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `customer_id` is set for customers, who see and change nobody else's repairs.

    `source` is what new repairs are published under; `binding` bounds an internal system.
    """

    actor: str
    source: str
    scopes: frozenset[str] = frozenset()
    customer_id: int | None = None
    binding: KeyBinding = ANY


class ApiKey(msgspec.Struct, frozen=True):
    """A key in its two halves: the public id and the secret."""

    key_id: str
    secret: str

    @property
    def text(self) -> str:
        """The key as its owner sends it."""
        return f"{KEY_PREFIX}{self.key_id}_{self.secret}"

    @property
    def secret_sha256(self) -> bytes:
        """What is stored of the secret."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_key() -> ApiKey:
    """Return a fresh key: 32 random bytes behind an id of eight letters and digits."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return ApiKey(key_id, secrets.token_urlsafe(32))


def parse_key(text: str) -> ApiKey | None:
    """Return the key that this text is, or None."""
    match = _KEY.fullmatch(text)
    return None if match is None else ApiKey(match[1], match[2])


class KeyRing:
    """Finds callers by their API keys; look-ups that arrive together are asked together."""

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
        """Return who owns this key at this moment; None: nobody, or it has ended.

        `address` is where the request came from, for the audit. Raises what the store
        raises while Postgres is away.
        """
        key = parse_key(text)
        row = None if key is None else await self._lookups.load(key.key_id)
        # Compared whether or not there is such a key: the time taken tells nothing.
        given = _NOBODYS_SHA256 if key is None else key.secret_sha256
        expected = hashlib.sha256(b"").digest() if row is None else row.secret_sha256
        if not hmac.compare_digest(given, expected) or row is None or not row.live:
            return None
        addresses = self._used.setdefault(row.key_id, set())
        if len(addresses) < _MAX_ADDRESSES:
            addresses.add(address)
        return _caller(row)

    async def check(self) -> None:
        """Raise unless keys can be looked up, on the path of a request and within its deadline."""
        await self._lookups.check(_NOBODYS_ID)

    async def close(self) -> None:
        """End the lookups; callers that still wait are refused as if the store were away."""
        await self._lookups.close()

    async def note_uses(self) -> None:
        """Note in the store which keys were used since the last call, and from where."""
        if self._used:
            used, self._used = self._used, {}
            pairs = [(key_id, address) for key_id, every in used.items() for address in every]
            await note_uses(self._pool, pairs)


def _caller(row: KeyRow) -> Caller:
    sources = None if SOURCES_ANY in row.scopes else row.sources
    return Caller(
        actor=f"internal:{row.client}",
        source=row.sources[0],
        scopes=row.scopes,
        binding=KeyBinding(sources=sources, customers=row.customers),
    )
