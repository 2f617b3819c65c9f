"""The gauge of lent connections, which shows a leak, on a real Postgres."""

from prometheus_client import generate_latest

from service_runtime.metrics import REGISTRY
from service_runtime.postgres import create_pool


def lent() -> str:
    lines = generate_latest(REGISTRY).decode().splitlines()
    (value,) = (line.split()[1] for line in lines if 'pool="counted"' in line)
    return value


async def test_a_connection_in_use_is_counted_until_it_is_returned(postgres_server: str) -> None:
    pool = await create_pool(postgres_server, name="counted", size=2)

    async with pool.acquire(timeout=30):
        assert lent() == "1.0"
    assert lent() == "0.0"
    await pool.close()
