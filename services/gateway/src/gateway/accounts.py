"""Signing in and out: the order of the steps is what keeps them safe.

Limit before hashing, hash off the loop, the same answer for every wrong login, a new session id
at every login, and a session only if the user is still the one that was read.
"""

import asyncio
import hashlib
import hmac
import secrets
import string
from dataclasses import dataclass
from typing import Final

from gateway import passwords, store
from gateway.audit import Audit
from gateway.hashing import HashPool, HashQueueFullError
from gateway.limits import LoginGuard
from gateway.metrics import LOGINS
from gateway.usernames import clean_username
from gateway.visitor import hash_of
from service_runtime.clock import Clock

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_LENGTH: Final = 32
#: Checks of old and new hashes differ in what they cost; a wrong login never shows which it was.
FAILED_SECONDS: Final = 0.6
_SLOWED_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long a session lives unused and in all (seconds), and how many a user may have."""

    idle_seconds: int
    max_seconds: int
    per_user: int = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody who wants to sign in, and from where."""

    username: str
    password: str
    peer: str
    user_agent: str
    request_id: str
    old_session: bytes | None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """It worked; the id is in no log and in no table."""

    session_id: str
    user_id: int


@dataclass(frozen=True, slots=True)
class WrongLogin:
    """No such user, another password, or no longer active: nobody is told which."""


@dataclass(frozen=True, slots=True)
class TryLater:
    """Too many attempts (429), or more at once than can be hashed (503)."""

    seconds: float
    overloaded: bool = False


_OVERLOADED: Final = TryLater(2.0, overloaded=True)

Outcome = SignedIn | WrongLogin | TryLater


class Accounts:
    """Signs users in and out."""

    def __init__(
        self,
        pool: store.Pool,
        guard: LoginGuard,
        hashes: HashPool,
        audit: Audit,
        clock: Clock,
        *,
        rules: SessionRules,
        key: bytes,
        failed_seconds: float = FAILED_SECONDS,
    ) -> None:
        self._pool = pool
        self._guard = guard
        self._hashes = hashes
        self._audit = audit
        self._clock = clock
        self._rules = rules
        self._key = key
        self._failed_seconds = failed_seconds

    async def sign_in(self, attempt: Attempt) -> Outcome:
        """Check a name and a password and begin a session.

        Raises what `service_runtime.postgres.is_infrastructure` knows when the store is away.
        """
        if self._hashes.is_full:  # before anything is counted against anybody
            LOGINS.labels("overloaded").inc()
            return _OVERLOADED
        started = self._clock.monotonic()
        username = clean_username(attempt.username)
        account = await store.find_account(self._pool, username)
        counted = await self._counted_as(account, username)
        verdict = await self._guard.begin(counted, attempt.peer)
        if not verdict.allowed:
            self._note(attempt, "limited", account, rule=verdict.rule.name if verdict.rule else "")
            return TryLater(verdict.reset_after)
        try:
            stored = None if account is None else account.password
            right = await self._hashes.verify(stored, attempt.password)
        except HashQueueFullError:
            LOGINS.labels("overloaded").inc()
            return _OVERLOADED
        if account is not None and right and account.is_active:
            signed_in = await self._begin(attempt, account)
            if signed_in is not None:
                await self._guard.succeeded(counted, attempt.peer)
                return signed_in
        await self._refuse(attempt, account, counted, started)
        return WrongLogin()

    async def _refuse(
        self, attempt: Attempt, account: store.Account | None, counted: str, started: float
    ) -> None:
        slowed = await self._guard.failed(counted, attempt.peer)
        self._note(attempt, "failed", account, counted_as=counted[:16], slowed=slowed or None)
        wanted = _SLOWED_SECONDS if slowed and self._failed_seconds else self._failed_seconds
        await asyncio.sleep(max(0.0, wanted - (self._clock.monotonic() - started)))

    async def _begin(self, attempt: Attempt, account: store.Account) -> SignedIn | None:
        session_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        id_hash = hash_of(session_id.encode())
        session = store.NewSession(
            id_hash,
            None if attempt.old_session is None else hash_of(attempt.old_session),
            self._rules.max_seconds,
            self._rules.idle_seconds,
            attempt.peer,
            attempt.user_agent[:200],
            self._rules.per_user,
        )
        if not await store.create_session(self._pool, account, session):
            return None
        self._note(attempt, "ok", account, session=id_hash.hex()[:16])
        await self._renew_hash(attempt, account)
        return SignedIn(session_id, account.user_id)

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

    async def sign_out(self, session_id: bytes, *, request_id: str, peer: str) -> None:
        """End a session, if there is one."""
        id_hash = hash_of(session_id)
        user_id = await store.delete_session(self._pool, id_hash)
        if user_id is not None:
            self._audit.note(
                "logout",
                "ok",
                request_id=request_id,
                peer=peer,
                user_id=user_id,
                session=id_hash.hex()[:16],
            )

    async def _counted_as(self, account: store.Account | None, username: str) -> str:
        """Return under what failures are counted: one key for all spellings of one account."""
        folded = username.casefold()
        user_id = (
            account.user_id
            if account is not None
            else await store.find_namesake(self._pool, folded)
        )
        meant = folded if user_id is None else f"#{user_id}"
        return hmac.new(self._key, meant.encode(), hashlib.sha256).hexdigest()

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
            **details,
        )
