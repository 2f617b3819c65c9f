"""The gateway's tables, step by step: `gateway migrate` brings a database to the newest.

A step only adds: the processes of the previous release continue beside it (docs/operating.md, Upgrading).
"""

from pathlib import Path

from service_runtime.migrations import upgrade


def migrate(url: str) -> None:
    """Bring the schema `gateway` of this database to the newest version; repeatable.

    Blocks until done. Raises the driver's error when the database is unavailable.
    """
    upgrade(Path(__file__).parent, url)
