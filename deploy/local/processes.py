"""Settings of each process: the map from the system's addresses to environment variables.

The variables are those of `.env.example` and `docker-compose.yml`. The functions are in the order of the data flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.local.layout import ROOT, venv_command, venv_python
from deploy.local.ports import HOST
from deploy.local.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.addresses import Addresses

#: Secret -> the one-time command that registers it with the writer as an API key.
KEY_COMMANDS = {
    "writer_history_key": "key of the projector",
    "internal_key": "key of internal systems",
}
#: With sources:any: the key for manual requests, with any source.
ALL_SCOPES = "repairs:write,repairs:read,customers:write,history:read,sources:any"


def writer(at: Addresses, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the writer's api."""
    return {
        "WRITER_DATABASE_URL": at.databases["writer"],
        "IDENTITY_KEYS_WRITER": secrets["identity_keys_writer"],
    }


def relay(at: Addresses) -> dict[str, str]:
    """Return the settings of the relay."""
    return {
        "WRITER_DATABASE_URL": at.databases["writer"],
        "KAFKA_BOOTSTRAP_SERVERS": at.kafka,
        "KAFKA_TOPIC": at.topic,
    }


def projector(at: Addresses, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a projector."""
    return {
        "PORTAL_DATABASE_URL": at.databases["portal"],
        "KAFKA_BOOTSTRAP_SERVERS": at.kafka,
        "KAFKA_TOPIC": at.topic,
        "PROJECTOR_GROUP": "projector",
        "REDIS_URL": at.documents,
        "WRITER_URL": at.writer,
        "WRITER_HISTORY_KEY": secrets["writer_history_key"],
        "PORTAL_TIME_ZONE": at.time_zone,
    }


def query(at: Addresses, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the query api."""
    return {
        "QUERY_DATABASE_URL": at.databases["query"],
        "REDIS_URL": at.documents,
        "IDENTITY_KEYS_QUERY": secrets["identity_keys_query"],
        "PORTAL_TIME_ZONE": at.time_zone,
    }


def gateway(at: Addresses, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the gateway."""
    return {
        "GATEWAY_DATABASE_URL": at.databases["gateway"],
        "LIMITS_REDIS_URL": at.limits,
        "QUERY_URL": at.query,
        "WRITER_URL": at.writer,
        "IDENTITY_KEYS_QUERY": secrets["identity_keys_query"],
        "IDENTITY_KEYS_WRITER": secrets["identity_keys_writer"],
        "GATEWAY_ALLOWED_HOSTS": "127.0.0.1,localhost",
        # Plain http on the loopback: not every browser returns a Secure cookie there.
        "GATEWAY_COOKIE_SECURE": "false",
    }


def services(at: Addresses, ports: Mapping[str, int], secrets: Mapping[str, str]) -> list[Spec]:
    """Return the project's own processes in the order of the data flow."""
    return [
        _ours("writer", "repair_writer.api.main", writer(at, secrets), ports, stage=1),
        _ours("relay", "repair_writer.relay.main", relay(at), ports, stage=1),
        _ours("projector-1", "portal_query.projector.main", projector(at, secrets), ports, stage=2),
        _ours("projector-2", "portal_query.projector.main", projector(at, secrets), ports, stage=2),
        _ours("query", "portal_query.api.main", query(at, secrets), ports, stage=2),
        _ours("gateway", "gateway.main", gateway(at, secrets), ports, stage=3),
    ]


def _ours(
    name: str, module: str, settings: dict[str, str], ports: Mapping[str, int], stage: int
) -> Spec:
    """Return one own process; the supervisor listens for each process with a port of its name."""
    ops_port, listen_port = ports[f"{name.replace('-', '_')}_ops"], ports.get(name)
    for_operators = {"OPS_HOST": HOST, "OPS_PORT": str(ops_port)}
    # Used only without the supervisor's socket: a process started by hand listens itself.
    for_users = (
        {f"{name.upper()}_HOST": HOST, f"{name.upper()}_PORT": str(listen_port)}
        if listen_port
        else {}
    )
    return Spec(
        name=name,
        argv=[venv_python(), "-m", module],
        env={**settings, **for_users, **for_operators},
        folder=str(ROOT),
        stage=stage,
        listen_port=listen_port,
        ops_port=ops_port,
    )


def commands(
    at: Addresses, key_files: Mapping[str, str]
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return name -> (command, settings) of the one-time commands. Each is idempotent."""
    on_writer = {"WRITER_DATABASE_URL": at.databases["writer"]}
    return {
        "migrate writer": ([venv_command("repair-writer"), "migrate"], on_writer),
        "migrate portal": (
            [venv_command("portal-query"), "migrate"],
            {"PORTAL_DATABASE_URL": at.databases["portal"]},
        ),
        "migrate gateway": (
            [venv_command("gateway"), "migrate"],
            {"GATEWAY_DATABASE_URL": at.databases["gateway"]},
        ),
        "topic": ([venv_command("repair-writer"), "topic"], relay(at)),
        "key of the projector": (
            _ensure_key("projector", "history:read", key_files["writer_history_key"]),
            on_writer,
        ),
        "key of internal systems": (
            _ensure_key("internal", ALL_SCOPES, key_files["internal_key"]),
            on_writer,
        ),
    }


def _ensure_key(client: str, scopes: str, file: str) -> list[str]:
    options = ["--client", client, "--scopes", scopes, "--key-file", file]
    return [venv_command("repair-writer"), "keys", "ensure", *options]
