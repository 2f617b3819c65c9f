"""One whole system in one place: its parts, their start step by step, and its state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from deploy.local import (
    addresses,
    control,
    credentials,
    logins,
    ports,
    probe,
    process_id,
    processes,
    valkey,
)
from deploy.local.kafka import Broker
from deploy.local.layout import Place, read_json, write_json
from deploy.local.postgres import Cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.spec import Spec


class System:
    """Ports, secrets, addresses and processes of a place. The constructor starts nothing."""

    def __init__(self, place: Place, given: Mapping[str, str], chosen: Mapping[str, int]) -> None:
        self.place = place
        self.ports = dict(chosen)
        self.secrets = credentials.every(place.secrets)
        self.at = addresses.resolve(given, self.ports, self.secrets)
        self.cluster = Cluster(place, self.secrets["postgres_password"])
        self.broker = Broker(place)

    @classmethod
    def prepare(
        cls, place: Place, environ: Mapping[str, str], usual: Mapping[str, int] = ports.USUAL
    ) -> System:
        """Choose ports and create secrets, or read those of a running system."""
        place.create()
        if control.supervisor(place) is not None and place.ports.exists():
            return cls.found(place)
        given = addresses.given(environ)
        write_json(place.state / "given.json", given)
        return cls(place, given, ports.remembered(place.ports, usual))

    @classmethod
    def found(cls, place: Place) -> System:
        """Return the system that was started in a place."""
        return cls(place, read_json(place.state / "given.json"), read_json(place.ports))

    def key_files(self) -> dict[str, str]:
        """Return name -> file of the two API keys."""
        names = ("writer_history_key", "internal_key")
        return {name: str(credentials.path_of(self.place.secrets, name)) for name in names}

    def backends(self) -> list[Spec]:
        """Return the servers to start locally, because the environment names none."""
        specs = []
        if self.at.local_postgres:
            specs.append(self.cluster.spec(self.ports["postgres"]))
        for use in ("documents", "limits"):
            if use in self.at.local_valkeys:
                password = self.secrets[f"{use}_password"]
                specs.append(valkey.spec(self.place, use, self.ports[use], password))
        if self.at.local_kafka:
            specs.append(self.broker.spec(self.ports, self.secrets["kafka_cluster_id"]))
        return specs

    def services(self) -> list[Spec]:
        """Return the project's own processes."""
        return processes.services(self.at, self.ports, self.secrets)

    def status(self) -> dict[str, Any]:
        """Return the object that `./dev status --json` prints."""
        running = control.processes(self.place)
        return {
            "ready": self.is_ready(running),
            "urls": {"portal": self.at.portal, "writer": self.at.writer, "query": self.at.query},
            "kafka": self.at.kafka,
            "topic": self.at.topic,
            "postgres": self.at.databases,
            "redis": self.at.documents,
            "time_zone": self.at.time_zone,
            "internal_key": self.secrets["internal_key"],
            "logins": logins.listed(self.place),
            "processes": [_described(found) for found in running],
        }

    def is_ready(self, running: list[dict[str, Any]]) -> bool:
        """Return whether every own process runs and is ready."""
        alive = {found["name"] for found in running if found["state"] == "running"}
        ours = self.services()
        if not alive.issuperset(spec.name for spec in ours):
            return False
        with ThreadPoolExecutor(len(ours)) as pool:
            return all(pool.map(probe.ready, [spec.ops_port or 0 for spec in ours]))


def _described(found: Mapping[str, Any]) -> dict[str, Any]:
    pid = found["pid"]
    return {
        "name": found["name"],
        "pid": pid,
        "state": found["state"],
        "restarts": found["restarts"],
        "rss_bytes": process_id.resident_bytes(pid) if pid else None,
        "log": found["log"],
    }
