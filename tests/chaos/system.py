"""A whole system of the harness's own: every connection between two processes uses a breakable
link.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import borrowed, control, kafka, ports, say, start, whole
from deploy.local.system import System
from tests.chaos.proxy import HOST, Links

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.local.layout import Place
    from deploy.local.spec import Spec

# process -> variable -> the port of its address. Kafka's lead to a listener of their own, because a
# broker sends its clients the next address.
ROUTES: dict[str, dict[str, str]] = {
    "writer": {"WRITER_DATABASE_URL": "postgres"},
    "relay": {"WRITER_DATABASE_URL": "postgres", "KAFKA_BOOTSTRAP_SERVERS": "kafka"},
    "projector-1": {
        "PORTAL_DATABASE_URL": "postgres",
        "KAFKA_BOOTSTRAP_SERVERS": "kafka",
        "REDIS_URL": "documents",
        "WRITER_URL": "writer",
    },
    "projector-2": {
        "PORTAL_DATABASE_URL": "postgres",
        "KAFKA_BOOTSTRAP_SERVERS": "kafka",
        "REDIS_URL": "documents",
        "WRITER_URL": "writer",
    },
    "query": {"QUERY_DATABASE_URL": "postgres", "REDIS_URL": "documents"},
    "gateway": {
        "GATEWAY_DATABASE_URL": "postgres",
        "LIMITS_REDIS_URL": "limits",
        "QUERY_URL": "query",
        "WRITER_URL": "writer",
    },
    "publisher": {"": "writer"},
    "browser": {"": "gateway"},
}
ON_KAFKA = [name for name, routes in ROUTES.items() if "kafka" in routes.values()]
# Second processes of their kind, for the scenarios that need them; they share the first one's
# links.
SPARES = {"relay-2": "relay", "projector-3": "projector-1"}
# Seconds test the same as hours: the heads are compared often.
QUICK = {"PROJECTOR_HEADS_SECONDS": "5", "PROJECTOR_SWEEP_PAGE_SECONDS": "3"}


def link_name(process: str, server: str) -> str:
    """Return the name of the link from a process to a server."""
    return f"{process}>{server}"


def every_link() -> list[tuple[str, str]]:
    """Return process and server of each link."""
    return [(process, server) for process, routes in ROUTES.items() for server in routes.values()]


def usual_ports() -> dict[str, int]:
    """Return every port of the system; each may be any free port."""
    links = [link_name(*pair) for pair in every_link()]
    listeners = [f"listener of {name}" for name in ON_KAFKA]
    spares = [f"{name}_ops" for name in SPARES]
    return dict.fromkeys([*ports.USUAL, *links, *listeners, *spares], 0)


class ChaosBroker(kafka.Broker):
    """A broker that gives each client the address of the client's own link."""

    def create(self, chosen: Mapping[str, int], cluster: str) -> None:
        """Write the settings, format the storage when needed, and add the listeners."""
        super().create(chosen, cluster)
        listeners = {
            f"LINK{n}": (chosen[f"listener of {name}"], chosen[link_name(name, "kafka")])
            for n, name in enumerate(ON_KAFKA)
        }
        more = {
            "listeners": "".join(f",{k}://{HOST}:{at}" for k, (at, _) in listeners.items()),
            "advertised.listeners": "".join(
                f",{k}://{HOST}:{at}" for k, (_, at) in listeners.items()
            ),
            "listener.security.protocol.map": "".join(f",{k}:PLAINTEXT" for k in listeners),
        }
        lines = [line.partition("=") for line in self.settings.read_text().splitlines()]
        self.settings.write_text(
            "".join(f"{key}={value}{more.get(key, '')}\n" for key, _, value in lines)
        )


class ChaosSystem(System):
    """The system of `./dev up` with other addresses in the environment of its processes."""

    def __init__(self, place: Place, given: Mapping[str, str], chosen: Mapping[str, int]) -> None:
        super().__init__(place, given, chosen)
        self.broker = ChaosBroker(place)
        self.failpoints = place.state / "failpoints"
        self.failpoints.mkdir(exist_ok=True)
        self.spares: set[str] = set()
        #: Settings of a scenario for processes, by their names.
        self.settings: dict[str, dict[str, str]] = {}
        #: Additional servers of a scenario.
        self.servers: list[Spec] = []
        #: Options of a scenario for the servers.
        self.postgres_options: tuple[str, ...] = ()
        #: Whether processes connect directly: links are slower than the processes.
        self.direct = False

    def targets(self) -> dict[str, tuple[int, int]]:
        """Return each link's own port and its target port."""
        found = {}
        for process, server in every_link():
            name = link_name(process, server)
            real = f"listener of {process}" if server == "kafka" else server
            found[name] = (self.ports[name], self.ports[real])
        return found

    def backends(self) -> list[Spec]:
        """Return the servers; Kafka's data is temporary, so it may skip syncing to disk."""
        usual = [
            replace(spec, argv=[*spec.argv, *self.postgres_options])
            if spec.name == "postgres"
            else spec
            for spec in super().backends()
        ]
        return [*usual, *self.servers]

    def services(self) -> list[Spec]:
        """Return our processes, each with its links, and the spares of the moment."""
        ours = {spec.name: self._over_links(spec) for spec in super().services()}
        for name in sorted(self.spares):
            spec, port = ours[SPARES[name]], self.ports[f"{name}_ops"]
            ours[name] = replace(
                spec, name=name, ops_port=port, env={**spec.env, "OPS_PORT": str(port)}
            )
        return list(ours.values())

    def _over_links(self, spec: Spec) -> Spec:
        env = {**spec.env, "FAILPOINTS_DIR": str(self.failpoints)}
        if spec.name.startswith("projector"):
            env |= QUICK
        for variable, server in {} if self.direct else ROUTES[spec.name].items():
            there = f"{HOST}:{self.ports[server]}"
            here = f"{HOST}:{self.ports[link_name(spec.name, server)]}"
            if there not in env[variable]:
                raise LookupError(f"{spec.name}: {variable} does not name {there}")
            env[variable] = env[variable].replace(there, here)
        return replace(spec, env=env | self.settings.get(spec.name, {}))


class ChaosStack(whole.Stack):
    """A running system with its links."""

    system: ChaosSystem

    def __init__(self, system: ChaosSystem, links: Links) -> None:
        super().__init__(system)
        self.links = links
        self.publisher_url = f"http://{HOST}:{system.ports[link_name('publisher', 'writer')]}"
        self.browser_url = f"http://{HOST}:{system.ports[link_name('browser', 'gateway')]}"

    def pids(self, *names: str) -> dict[str, int]:
        """Return the ids of the running processes, of all or of these."""
        return {
            found["name"]: int(found["pid"])
            for found in control.processes(self.system.place)
            if found["pid"] and (not names or found["name"] in names)
        }

    def want(self) -> None:
        """Apply the present set of processes through the supervisor."""
        control.want(self.system.place, [*self.system.backends(), *self.system.services()])

    def log(self, name: str) -> Path:
        """Return the log of a process."""
        return self.system.place.logs / f"{name}.log"


@contextmanager
def started() -> Iterator[ChaosStack]:
    """Run a system of its own while the body runs; remove all of it afterwards."""
    with borrowed.temporary_place() as place:
        control.belong_to_this_process(place)
        system = ChaosSystem(place, {}, ports.remembered(place.ports, usual_ports()))
        with Links(system.targets()) as links:
            try:
                # psql and the commands take no part in faults: they connect to the servers
                # directly.
                start.start(system, say.Steps(start.STEPS, quiet=True), demo=False)
                yield ChaosStack(system, links)
            finally:
                keep_logs(place)
                control.stop(place, lambda _: None)


def keep_logs(place: Place) -> None:
    """Copy the logs to the folder `CHAOS_KEEP`, for the analysis of a failure."""
    folder = os.environ.get("CHAOS_KEEP")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for log in place.logs.glob("*.log"):
            (Path(folder) / log.name).write_bytes(log.read_bytes())
