"""The read model's tables, step by step: `portal-query migrate` brings a database to the newest.

A step only adds: the processes of the release before go on working beside it (docs/operating.md, Upgrading).
"""

from pathlib import Path

from service_runtime.migrations import upgrade


def migrate(url: str) -> None:
    """Bring the schema `portal` of this database to the newest version; repeatable.

    Blocks until done. Raises what the driver raises when the database is away.
    """
    upgrade(Path(__file__).parent, url)
