"""Addresses of the parts of one system. An address in the environment replaces the local server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local import credentials, postgres, valkey
from deploy.local.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

DATABASE = "rswind"
TIME_ZONE = "America/Chicago"
TOPIC = "repair-events"
# Role -> the environment variable with the URL of its database.
DATABASE_VARIABLES = {role: f"{role.upper()}_DATABASE_URL" for role in credentials.ROLES}
_VALKEY_VARIABLES = {"documents": "REDIS_URL", "limits": "LIMITS_REDIS_URL"}


@dataclass(frozen=True)
class Addresses:
    """Every address of a system, and the backends to start on this machine."""

    databases: dict[str, str]
    documents: str
    limits: str
    kafka: str
    topic: str
    time_zone: str
    writer: str
    query: str
    portal: str
    local_postgres: bool
    #: Uses (`documents`, `limits`) whose Valkey runs here.
    local_valkeys: frozenset[str]
    local_kafka: bool


def resolve(
    environ: Mapping[str, str], ports: Mapping[str, int], secrets: Mapping[str, str]
) -> Addresses:
    """Return the addresses of a system: those of the environment, else those of local servers."""
    databases = {
        role: environ.get(variable)
        or postgres.url(role, secrets[f"{role}_password"], ports["postgres"], DATABASE)
        for role, variable in DATABASE_VARIABLES.items()
    }
    return Addresses(
        databases=databases,
        documents=environ.get("REDIS_URL")
        or valkey.url(ports["documents"], secrets["documents_password"]),
        limits=environ.get("LIMITS_REDIS_URL")
        or valkey.url(ports["limits"], secrets["limits_password"]),
        kafka=environ.get("KAFKA_BOOTSTRAP_SERVERS") or f"{HOST}:{ports['kafka']}",
        topic=environ.get("KAFKA_TOPIC") or TOPIC,
        time_zone=environ.get("PORTAL_TIME_ZONE") or TIME_ZONE,
        writer=f"http://{HOST}:{ports['writer']}",
        query=f"http://{HOST}:{ports['query']}",
        portal=f"http://{HOST}:{ports['gateway']}",
        local_postgres=not all(environ.get(variable) for variable in DATABASE_VARIABLES.values()),
        local_valkeys=frozenset(
            use for use, variable in _VALKEY_VARIABLES.items() if not environ.get(variable)
        ),
        local_kafka=not environ.get("KAFKA_BOOTSTRAP_SERVERS"),
    )


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses in the environment as variable -> value, to store for later commands."""
    names = (
        *DATABASE_VARIABLES.values(),
        "REDIS_URL",
        "LIMITS_REDIS_URL",
        "KAFKA_BOOTSTRAP_SERVERS",
    )
    wanted = (*names, "KAFKA_TOPIC", "PORTAL_TIME_ZONE")
    return {name: environ[name] for name in wanted if environ.get(name)}
