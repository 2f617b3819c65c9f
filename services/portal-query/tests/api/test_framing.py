"""Framing of requests to the query API: the same rules as at the portal's own port."""

from typing import Any

from service_runtime.testing_framing import FRAMING


async def test_a_message_has_one_beginning_and_one_end(api: Any) -> None:
    for case in FRAMING:
        await case.check(api.url)
