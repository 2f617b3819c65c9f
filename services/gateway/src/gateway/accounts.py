"""Sign-in and sign-out. The order of the steps is a security property.

An attempt is counted before a password is hashed. Hashing runs off the event loop. Every wrong
login gets the same response, and every login gets a new session id. A session begins only if the
user's row is still the one that was read.
"""

import asyncio
import hashlib
import hmac
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway import passwords, store
from gateway.audit import Audit
from gateway.devices import DeviceToken, DeviceTokens
from gateway.hashing import HashPool, HashQueueFullError
from gateway.metrics import LOGINS
from gateway.sign_in_limits import Attempted, SignInLimits
from gateway.usernames import clean_username
from gateway.visitor import hash_of
from service_runtime.clock import Clock

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_LENGTH: Final = 32
#: A wrong login takes at least this long (seconds). So its duration does not show which kind of
#: hash was checked.
FAILED_SECONDS: Final = 0.6


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Bounds of a session: seconds without use, seconds in all, and sessions of one user."""

    idle_seconds: int
    max_seconds: int
    per_user: int = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in, with its origin."""

    username: str
    password: str
    peer: str
    user_agent: str
    request_id: str
    old_sessions: tuple[bytes, ...]
    #: The devices that the browser names; their signatures have been verified.
    devices: tuple[DeviceToken, ...]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A successful sign-in. The session id and the device token are in no log and in no table."""

    session_id: str
    user_id: int
    device: DeviceToken


@dataclass(frozen=True, slots=True)
class WrongLogin:
    """A failed sign-in: no such user, a wrong password, or a disabled user.

    The response is the same for all of them. It also covers a user that changed during the sign-in.
    """


@dataclass(frozen=True, slots=True)
class TryLater:
    """A refusal of an attempt: too many attempts (429), or a full hashing queue (503)."""

    seconds: float
    overloaded: bool = False
    known_device: bool = False


_OVERLOADED: Final = TryLater(2.0, overloaded=True)

Outcome = SignedIn | WrongLogin | TryLater


def _overloaded() -> TryLater:
    LOGINS.labels("overloaded").inc()
    return _OVERLOADED


class Accounts:
    """The sign-in and sign-out of users."""

    def __init__(
        self,
        pool: store.Pool,
        limits: SignInLimits,
        hashes: HashPool,
        audit: Audit,
        clock: Clock,
        *,
        rules: SessionRules,
        key: bytes,
        devices: DeviceTokens,
        failed_seconds: float = FAILED_SECONDS,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._hashes = hashes
        self._audit = audit
        self._clock = clock
        self._rules = rules
        self._key = key
        self._devices = devices
        self._failed_seconds = failed_seconds

    async def sign_in(self, attempt: Attempt) -> Outcome:
        """Check a name and a password and begin a session.

        Raises the errors that `service_runtime.postgres.is_infrastructure` recognises while the
        store is unavailable.
        """
        if self._hashes.is_full and not attempt.devices:  # before anything is counted or read
            return _overloaded()
        started = self._clock.monotonic()
        devices = {token.id_hash: token for token in attempt.devices}
        name, account = await store.find_account(
            self._pool, clean_username(attempt.username), list(devices)
        )
        device = None if account is None or account.device is None else devices[account.device]
        counted = await self._count(attempt, name, account, device)
        if not counted.taken.allowed:
            self._note(attempt, "limited", account, rule=counted.taken.refused_by)
            return TryLater(counted.taken.seconds, known_device=device is not None)
        outcome: Outcome = _OVERLOADED
        try:
            outcome = await self._check(attempt, account, device)
        finally:
            # A guess is counted before it is checked. An attempt with any other outcome is given
            # back.
            if not isinstance(outcome, WrongLogin):
                await self._limits.give_back(counted)
        if isinstance(outcome, WrongLogin):
            self._note(attempt, "failed", account, known_device=device is not None or None)
            await asyncio.sleep(
                max(0.0, self._failed_seconds - (self._clock.monotonic() - started))
            )
        return outcome

    async def _count(
        self,
        attempt: Attempt,
        name: str,
        account: store.Account | None,
        device: DeviceToken | None,
    ) -> Attempted:
        # All names of one account share one key. A name without an account is counted in the same
        # way. The key is an HMAC, so the store of the limits holds no names.
        meant = f"name {name}" if account is None else f"user {account.user_id}"
        key = hmac.new(self._key, meant.encode(), hashlib.sha256).hexdigest()
        if device is not None:
            return await self._limits.from_known_device(device.id_hash.hex(), key)
        return await self._limits.from_unknown_device(key, attempt.peer)

    async def _check(
        self, attempt: Attempt, account: store.Account | None, device: DeviceToken | None
    ) -> Outcome:
        stored = account.password if account is not None and account.is_exact else None
        try:
            right = await self._hashes.verify(
                stored, attempt.password, known_device=device is not None
            )
        except HashQueueFullError:
            return _overloaded()
        if account is not None and right and account.is_active:
            token = device or self._devices.new(account.user_id)
            return await self._begin(attempt, account, token) or WrongLogin()
        return WrongLogin()

    async def _begin(
        self, attempt: Attempt, account: store.Account, device: DeviceToken
    ) -> SignedIn | None:
        session_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        id_hash = hash_of(session_id.encode())
        session = store.NewSession(
            id_hash,
            [hash_of(old) for old in attempt.old_sessions],
            self._rules.max_seconds,
            self._rules.idle_seconds,
            attempt.peer,
            attempt.user_agent[:200],
            self._rules.per_user,
            device.id_hash,
        )
        if not await store.create_session(self._pool, account, session):
            return None
        self._note(attempt, "ok", account, session=id_hash.hex()[:16])
        await self._renew_hash(attempt, account)
        return SignedIn(session_id, account.user_id, device)

    async def _renew_hash(self, attempt: Attempt, account: store.Account) -> None:
        if not passwords.needs_rehash(account.password):
            return
        try:
            renewed = await self._hashes.hash(attempt.password)
        except HashQueueFullError:
            return  # at the next login, then
        if await store.replace_hash(self._pool, account, renewed):
            self._audit.note(
                "password-hash",
                "renewed",
                request_id=attempt.request_id,
                peer=attempt.peer,
                user_id=account.user_id,
                was=account.password.partition("$")[0],
            )

    async def sign_out(self, sessions: Sequence[bytes], *, request_id: str, peer: str) -> None:
        """End those of these sessions that exist."""
        hashes = [hash_of(session_id) for session_id in sessions]
        for id_hash, user_id in await store.delete_sessions(self._pool, hashes):
            self._audit.note(
                "logout",
                "ok",
                request_id=request_id,
                peer=peer,
                user_id=user_id,
                session=id_hash.hex()[:16],
            )

    def _note(
        self, attempt: Attempt, outcome: str, account: store.Account | None, **details: object
    ) -> None:
        LOGINS.labels(outcome).inc()
        session = details.pop("session", None)
        self._audit.note(
            "login",
            outcome,
            request_id=attempt.request_id,
            peer=attempt.peer,
            user_id=None if account is None else account.user_id,
            session=str(session) if session else None,
            by_stranger=outcome == "limited" or (outcome == "failed" and account is None),
            **details,
        )
