from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.main import build
from gateway.testing.portal import Portal, portal


@pytest.fixture
async def gate(database: Any) -> AsyncIterator[Portal]:
    """Return a gateway on a database of its own; limits are counted in its own memory."""
    async with portal(build, database.gateway_url) as running:
        yield running
