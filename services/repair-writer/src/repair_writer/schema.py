"""A check that the database has the tables that this code needs."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from repair_writer.store.transaction import Connection, migrated_to

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def newest_migration() -> str:
    """Return the number of the newest migration, from file names like `0001_tables.py`."""
    return max(path.name.partition("_")[0] for path in MIGRATIONS.glob("versions/[0-9]*_*.py"))


async def check_migrated(connected: AbstractAsyncContextManager[Connection]) -> None:
    """Check that the database is reachable and has current tables.

    Raises RuntimeError with the command to run when the tables are missing or old.
    Raises the driver's error when Postgres is unavailable.
    """
    async with connected as connection:
        version = await migrated_to(connection)
    if version is None or version < newest_migration():
        raise RuntimeError(
            f"the tables are at {version or 'nothing'}, not at {newest_migration()}: "
            "run `repair-writer migrate`"
        )
