"""Users with a password, for tests of the sign-in form; and ends of their sessions."""

from __future__ import annotations

import itertools
import time
from functools import cache
from typing import TYPE_CHECKING

import asyncpg

from gateway import admin_store, passwords

if TYPE_CHECKING:
    from playwright.async_api import Page
    from tests.browser.site import Site

PASSWORD = "correct horse battery"
_numbers = itertools.count(time.time_ns() // 1_000_000)


@cache
def _stored() -> str:
    return passwords.hash_password(PASSWORD)


async def person(site: Site, customer_id: int | None) -> str:
    """Add a user of this customer (None: without one) with PASSWORD, and return the username."""
    username = f"person-{next(_numbers)}"
    connection = await asyncpg.connect(site.stack.description["postgres"]["gateway"])
    try:
        await admin_store.add_user(
            connection, username, f"{username}@fleet.test", _stored(), customer_id
        )
    finally:
        await connection.close()
    return username


async def end_sessions(site: Site, username: str) -> None:
    """End every session of a user, as an operator or an expiry does."""
    connection = await asyncpg.connect(site.stack.description["postgres"]["gateway"])
    try:
        await connection.execute(
            "DELETE FROM gateway.session WHERE user_id = "
            '(SELECT id FROM gateway."user" WHERE username = $1)',
            username,
        )
    finally:
        await connection.close()


async def type_login(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill in the sign-in form of the page, and submit it."""
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
