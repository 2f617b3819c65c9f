"""Signed-in browsers by the hundred, inserted into the gateway's tables: signing in has tests of
its own.
"""

import hashlib
import secrets
import string
from collections.abc import Sequence

from tests.oracle.hops import connected

LETTERS = string.ascii_lowercase + string.digits
# No password has this hash, so these users cannot sign in.
NO_PASSWORD = "!made-for-a-measurement"

_USER = """
INSERT INTO gateway."user" (username, email, password) VALUES ($1, '', $2)
ON CONFLICT (username) DO UPDATE SET password = excluded.password RETURNING id
"""
_LINK = """
INSERT INTO gateway.customer_user (user_id, customer_id) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET customer_id = excluded.customer_id
"""
_SESSION = """
INSERT INTO gateway.session (id_hash, user_id, created_at, expires_at, last_seen_at, auth_hash, peer, user_agent)
VALUES ($1, $2, now(), now() + interval '6 hours', now(), $3, '127.0.0.1', 'test')
"""


async def open_sessions(gateway_database: str, customers: Sequence[int | None]) -> list[str]:
    """Create one user with one live session for each entry and return the session ids, in that
    order.

    Each customer and position in the list gets a user (None: a user without a customer).
    """
    ids = ["".join(secrets.choice(LETTERS) for _ in range(32)) for _ in customers]
    auth = hashlib.sha256(NO_PASSWORD.encode()).digest()
    async with connected(gateway_database) as connection, connection.transaction():
        for place, (customer_id, session_id) in enumerate(zip(customers, ids, strict=True)):
            user_id = await connection.fetchval(
                _USER, f"visitor-{customer_id or 0}-{place:04d}", NO_PASSWORD
            )
            if customer_id is not None:
                await connection.execute(_LINK, user_id, customer_id)
            id_hash = hashlib.sha256(session_id.encode()).digest()
            await connection.execute(_SESSION, id_hash, user_id, auth)
    return ids
