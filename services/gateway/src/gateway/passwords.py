"""Password hashes: argon2id for new ones, and the forms that Django has stored.

The form of a stored text selects its check; a text of an unknown form matches no password. The
module is pure, apart from the random salt. A call takes 0.1 s of a processor or more, so only
`hashing` calls it, in threads of its own.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import argon2
import bcrypt
from argon2.exceptions import Argon2Error, InvalidHashError, VerificationError

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 1_024

#: OWASP's minimum: 46 MiB, one pass. A hash takes about 0.07 s, so two threads sign in twenty a
#: second.
_HASHER: Final = argon2.PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
_MAX_STORED: Final = 256
_MAX_ITERATIONS: Final = 10_000_000
_MAX_SCRYPT_MEMORY: Final = 256 * 1024 * 1024


def hash_password(password: str) -> str:
    """Return the text to store for a new password: the prefix `argon2`, then argon2's own text."""
    return "argon2" + _HASHER.hash(password)


def needs_rehash(stored: str) -> bool:
    """Return whether a correct password should be stored with a hash of the current form."""
    algorithm, _, rest = stored.partition("$")
    if algorithm != "argon2":
        return True
    try:
        return _HASHER.check_needs_rehash("$" + rest)
    except InvalidHashError:
        return True


def verify(stored: str, password: str) -> bool:
    """Return whether the password matches the stored hash; False for an unknown form."""
    check = _CHECKS.get(stored.partition("$")[0])
    if check is None or len(stored) > _MAX_STORED:
        return False
    try:
        return check(stored.partition("$")[2], password)
    except (ValueError, TypeError, OverflowError):
        return False


def is_known(stored: str) -> bool:
    """Return whether the stored text has a form that `verify` spends a full check on."""
    return stored.partition("$")[0] in _CHECKS


def _argon2(rest: str, password: str) -> bool:
    try:
        return _HASHER.verify("$" + rest, password)
    except (VerificationError, InvalidHashError, Argon2Error):
        return False


def _pbkdf2_sha256(rest: str, password: str) -> bool:
    iterations, salt, wanted = rest.split("$")
    count = int(iterations)
    if not 0 < count <= _MAX_ITERATIONS:
        return False
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), count)
    return hmac.compare_digest(base64.b64encode(derived), wanted.encode())


def _bcrypt_sha256(rest: str, password: str) -> bool:
    digest = hashlib.sha256(password.encode()).hexdigest().encode()
    return hmac.compare_digest(bcrypt.hashpw(digest, rest.encode()), rest.encode())


def _scrypt(rest: str, password: str) -> bool:
    work, salt, block, parallel, wanted = rest.split("$")
    derived = hashlib.scrypt(
        password.encode(),
        salt=salt.encode(),
        n=int(work),
        r=int(block),
        p=int(parallel),
        maxmem=_MAX_SCRYPT_MEMORY,
        dklen=64,
    )
    return hmac.compare_digest(base64.b64encode(derived), wanted.encode())


_CHECKS: Final[dict[str, Callable[[str, str], bool]]] = {
    "argon2": _argon2,
    "pbkdf2_sha256": _pbkdf2_sha256,
    "bcrypt_sha256": _bcrypt_sha256,
    "scrypt": _scrypt,
}
