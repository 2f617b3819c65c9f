"""Visits over links that plain reads spare: signing in, a customer's change, figures missing in
Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.chaos.trial import Trial

TOKEN = "c" * 32
PAUSE_SECONDS = 0.25
FINE = frozenset({200, 303, 302, 400, 403, 413, 422, 428, 429, 503})


@asynccontextmanager
async def visiting(t: Trial) -> AsyncIterator[Counter[int]]:
    """Send visits while the body runs; count their statuses (0: no response). They change nothing.

    An undocumented response violates an invariant.
    """
    found: Counter[int] = Counter()
    tasks = [asyncio.create_task(one(t, found)) for one in (_sign_in, _change, _forget)]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        odd = {status: n for status, n in found.items() if status and status not in FINE}
        t.expect(not odd, f"I12: visits were answered {odd}")


async def _sign_in(t: Trial, found: Counter[int]) -> None:
    form = {"username": "nobody", "password": "nothing", "csrfmiddlewaretoken": TOKEN}
    async with _browser(t, {}) as http:
        while True:
            found[await _status(http, f"{t.stack.browser_url}/accounts/login/", data=form)] += 1
            await asyncio.sleep(PAUSE_SECONDS * 2)


async def _change(t: Trial, found: Counter[int]) -> None:
    cookie = {"sessionid": t.readers.browsers[0].cookie}
    async with _browser(t, cookie) as http:
        while True:
            # The writer rejects it: a repair without a unit.
            url = f"{t.stack.browser_url}/customer/api/repairs/"
            found[await _status(http, url, json={})] += 1
            await asyncio.sleep(PAUSE_SECONDS)


async def _forget(t: Trial, _: Counter[int]) -> None:
    async with Redis.from_url(t.places.redis) as redis:
        while True:
            with contextlib.suppress(RedisError, OSError):
                await redis.flushall()
            await asyncio.sleep(PAUSE_SECONDS)


def _browser(t: Trial, cookies: Mapping[str, str]) -> aiohttp.ClientSession:
    every = {"csrftoken": TOKEN, **cookies}
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in every.items()),
        "X-CSRFToken": TOKEN,
        "Origin": t.stack.browser_url,
        "Sec-Fetch-Site": "same-origin",
    }
    return aiohttp.ClientSession(
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=10),
    )


async def _status(http: aiohttp.ClientSession, url: str, **sent: object) -> int:
    try:
        async with http.post(url, allow_redirects=False, **sent) as answer:  # type: ignore[arg-type]
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0
