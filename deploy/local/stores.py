"""Content of the stores of a local system, read from the stores: what a start has to create or recreate."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.demo.fleets import FLEETS
from deploy.demo.lives import SOURCE, ref_of
from deploy.local import addresses, logins, valkey
from deploy.local.layout import ROOT
from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.local.system import System

MIGRATIONS = {
    "writer": ROOT / "services/repair-writer/src/repair_writer/migrations/versions",
    "portal": ROOT / "services/portal-query/src/portal_query/migrations/versions",
    "gateway": ROOT / "services/gateway/src/gateway/migrations/versions",
}
#: Comment of the writer's schema in a restored database, to which no start adds the demo.
RESTORED = "restored"

_VERSIONED = "SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'"
_IS_RESTORED = "SELECT obj_description('writer'::regnamespace, 'pg_namespace')"


def lost(system: System) -> list[str]:
    """Return the process names of the local servers whose data folder is missing."""
    missing = {
        "postgres": system.at.local_postgres and not system.cluster.exists(),
        "kafka": system.at.local_kafka and not system.broker.is_formatted(),
    }
    for use in ("documents", "limits"):
        file = valkey.settings_file(system.place, use)
        missing[f"valkey-{use}"] = use in system.at.local_valkeys and not file.exists()
    return [name for name, is_missing in missing.items() if is_missing]


def holds(system: System, *roles: str) -> bool:
    """Return whether the databases of these roles are on the local server, where they can be queried."""
    here = (HOST, system.ports["postgres"])
    urls = [urlsplit(system.at.databases[role]) for role in roles]
    return all((url.hostname, url.port) == here for url in urls)


def newest_migrations() -> dict[str, str]:
    """Return schema -> number of the last migration, from its file name."""
    return {
        schema: max(path.name.partition("_")[0] for path in folder.glob("[0-9]*_*.py"))
        for schema, folder in MIGRATIONS.items()
    }


def migrations(system: System) -> dict[str, str]:
    """Return schema -> migration in the database; a schema without tables is absent."""
    there = [schema for schema in _rows(system, _VERSIONED) if schema in MIGRATIONS]
    asked = [f"SELECT '{schema} ' || version_num FROM {schema}.alembic_version" for schema in there]  # noqa: S608 - our own names
    found = _rows(system, " UNION ALL ".join(asked)) if asked else []
    return dict(line.split() for line in found)


def missing_keys(system: System) -> set[str]:
    """Return the API keys, of two, that the writer lacks; both if it cannot be queried."""
    if not holds(system, "writer"):
        return set(system.key_files())
    known = set(_rows(system, "SELECT key_id FROM writer.api_key"))
    # The format of a key is rsw_live_ID_SECRET.
    return {name for name in system.key_files() if system.secrets[name].split("_")[2] not in known}


def has_topic(system: System) -> bool:
    """Return whether the topic is in the data of the local Kafka; False for a Kafka elsewhere."""
    return system.at.local_kafka and (system.broker.data / f"{system.at.topic}-0").is_dir()


def is_restored(system: System) -> bool:
    """Return whether the writer's local data come from a backup."""
    return holds(system, "writer") and _rows(system, _IS_RESTORED) == [RESTORED]


def mark_restored(system: System) -> None:
    """Note in the writer's schema that its data come from a backup."""
    _rows(system, f"COMMENT ON SCHEMA writer IS '{RESTORED}'")


def missing_demo(system: System) -> list[str]:
    """Return the parts of the demo that the local databases lack: `fleets`, `logins`, both or none."""
    # A fleet with its last repair is complete, because repairs are sent in order.
    closing = _listed(ref_of(fleet, fleet.repairs) for fleet in FLEETS)
    fleets = f"SELECT count(*) FROM writer.repair WHERE source = '{SOURCE}' AND source_ref IN ({closing})"  # noqa: S608
    names = f'SELECT count(*) FROM gateway."user" WHERE username IN ({_listed(logins.DEMO)})'  # noqa: S608
    missing = []
    if not holds(system, "writer") or _rows(system, fleets) != [str(len(FLEETS))]:
        missing.append("fleets")
    if not holds(system, "gateway") or _rows(system, names) != [str(len(logins.DEMO))]:
        missing.append("logins")
    return missing


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _rows(system: System, sql: str) -> list[str]:
    return system.cluster.run_sql(
        system.ports["postgres"], addresses.DATABASE, sql=sql
    ).splitlines()
