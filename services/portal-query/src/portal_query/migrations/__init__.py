"""The read model's tables, step by step: `portal-query migrate` brings a database to the newest."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def migrate(url: str) -> None:
    """Bring the schema `portal` of this database to the newest version; repeatable.

    Blocks until done. Raises what the driver raises when the database is away.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    command.upgrade(config, "head")
