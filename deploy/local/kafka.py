"""Apache Kafka without a container: jars from Maven, one node as broker and controller, loopback only."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from deploy.local import machine
from deploy.local.layout import (
    PRIVATE_FOLDER,
    PRIVATE_UMASK,
    ROOT,
    Place,
    read_json,
    write_private,
)
from deploy.local.ports import HOST
from deploy.local.spec import Spec
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POM = ROOT / "deploy" / "kafka" / "pom.xml"
LOG_SETTINGS = ROOT / "deploy" / "kafka" / "log4j2.yaml"
IMAGE = "apache/kafka:4.3.0"
HEAP = ("-Xms256m", "-Xmx512m")
# For a short-lived Java: the first compiler only, the serial garbage collector.
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
WHAT_TO_INSTALL = (
    "Install Maven (Debian, Ubuntu: apt-get install maven; macOS: brew install maven) or a container engine (Docker, "
    "Podman), or set KAFKA_BOOTSTRAP_SERVERS to a Kafka you have; then run the command again."
)


class Broker:
    """One local Kafka: from jars if there is Maven, else from the image with a container engine."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.kafka
        self.data = self.folder / "data"
        self.settings = self.folder / "server.properties"

    @property
    def libs(self) -> Path:
        """Return the folder of jars, named after the content of the pom."""
        digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
        return ROOT / ".run" / "kafka" / f"libs-{digest}"

    def fetch(self) -> str:
        """Download the jars or the image of the broker; return a short description.

        Raises Trouble if there is neither Maven nor a container engine.
        """
        java = machine.find_java()
        if self.libs.exists() and java is not None:
            return f"jars, Java {java[1]}"
        log = self.place.logs / "maven.log"
        if shutil.which("mvn") is None and machine.can_apt():
            machine.apt_install("maven", log)
            java = machine.find_java()
        if shutil.which("mvn") is not None and java is not None:
            self._download(java[0], log)
            return f"jars fetched by Maven, Java {java[1]}"
        if machine.engine() is not None:
            return f"image {IMAGE}"
        raise Trouble(
            "there is neither Maven nor a container engine to get Apache Kafka with",
            WHAT_TO_INSTALL,
        )

    def _download(self, java: str, log: Path) -> None:
        fresh = self.libs.with_name(f"{self.libs.name}.{os.getpid()}")
        self.libs.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *("mvn", "--batch-mode", "--quiet", "--file", str(POM), "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={fresh}"),
        ]
        settings = dict(os.environ)
        if shutil.which("java") is None:
            settings["JAVA_HOME"] = java.removesuffix("/bin/java")
        with log.open("a") as output:
            done = subprocess.run(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=settings,
                check=False,
            )
        if done.returncode != 0 or not list(fresh.glob("kafka_2.13-*.jar")):
            shutil.rmtree(fresh, ignore_errors=True)
            raise Trouble(
                "Maven could not fetch Apache Kafka",
                "See the log; is a Maven repository within reach (a mirror goes into ~/.m2/settings.xml)?",
                str(log),
            )
        if self.libs.exists():
            shutil.rmtree(fresh)
        else:
            fresh.rename(self.libs)

    def is_formatted(self) -> bool:
        """Return whether the storage is formatted; a container creates its volume itself."""
        return (self.data / "meta.properties").exists() or not self.libs.exists()

    def forget(self) -> None:
        """Delete the data of the broker only."""
        remove_container_data(self.place)
        shutil.rmtree(self.data, ignore_errors=True)

    def create(self, ports: Mapping[str, int], cluster: str) -> None:
        """Write the broker's settings; format its storage if necessary. Raises Trouble."""
        if not self.is_formatted():
            shutil.rmtree(self.data, ignore_errors=True)  # remains, of no use without their index
        self.data.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.data.chmod(PRIVATE_FOLDER)
        write_private(self.settings, properties(ports, self.data))
        if self.is_formatted():
            return
        log = self.place.logs / "kafka-format.log"
        command = [*self._java(("-Xmx128m", *QUICK)), "kafka.tools.StorageTool", "format"]
        with log.open("w") as output:
            done = subprocess.run(
                [*command, "--cluster-id", cluster, "--config", str(self.settings)],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                umask=PRIVATE_UMASK,
                check=False,
            )
        if done.returncode != 0:
            raise Trouble("Kafka's storage could not be made", "See the log.", str(log))

    def _java(self, options: tuple[str, ...]) -> list[str]:
        java = machine.find_java()
        if java is None:
            raise Trouble(f"there is no Java {machine.OLDEST_JAVA} or newer", WHAT_TO_INSTALL)
        logs = f"-Dlog4j2.configurationFile={LOG_SETTINGS}"
        return [java[0], *options, "-XX:+ExitOnOutOfMemoryError", logs, "-cp", f"{self.libs}/*"]

    def spec(self, ports: Mapping[str, int], cluster: str, *, brief: bool = False) -> Spec:
        """Return the process of the broker; `brief` is for the duration of a test run."""
        if not self.libs.exists():
            argv = self._in_container(ports, cluster)
        else:
            long_lived = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", self._classes(record=True))
            options = (*QUICK, self._classes(record=False)) if brief else long_lived
            argv = [*self._java((*HEAP, *options)), "kafka.Kafka", str(self.settings)]
        return Spec(name="kafka", argv=argv, folder=str(self.folder))

    def _classes(self, *, record: bool) -> str:
        """Return the option for the class archive (CDS): read it, which halves the start, or write it at the exit.

        A Java of another version ignores the archive.
        """
        java = machine.find_java()
        archive = self.libs / f"classes-{java[1] if java else 0}.jsa"
        if record and not archive.exists():
            return f"-XX:ArchiveClassesAtExit={archive}"
        return f"-XX:SharedArchiveFile={archive}" if archive.exists() else "-Xshare:auto"

    def _in_container(self, ports: Mapping[str, int], cluster: str) -> list[str]:
        engine = machine.engine() or "docker"
        name = container_name(ports["kafka"])
        settings = container_settings(ports["kafka"], cluster)
        options = [part for key, value in settings.items() for part in ("-e", f"{key}={value}")]
        run = [
            engine,
            "run",
            "--rm",
            "--name",
            name,
            "-p",
            f"{HOST}:{ports['kafka']}:{ports['kafka']}",
        ]
        volume = ["-v", f"{name}:/var/lib/kafka/data"]
        # A killed client leaves its container behind, under the name that the next one needs.
        script = f'{engine} rm -f {name} >/dev/null 2>&1; exec "$@"'
        return ["sh", "-c", script, "sh", *run, *volume, *options, IMAGE]


def settings_of_one_node(listeners: str, advertised: str, controller: str) -> dict[str, str]:
    """Return the settings with which one node is a complete cluster."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": listeners,
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Only the writer creates the topic, with its partitions and retention.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "log.segment.bytes": str(256 * 2**20),
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def properties(ports: Mapping[str, int], data: Path) -> str:
    """Return the text of the settings file of a local broker."""
    broker, controller = f"{HOST}:{ports['kafka']}", f"{HOST}:{ports['kafka_controller']}"
    settings = settings_of_one_node(
        f"PLAINTEXT://{broker},CONTROLLER://{controller}", f"PLAINTEXT://{broker}", controller
    )
    return "".join(
        f"{name}={value}\n" for name, value in {**settings, "log.dirs": str(data)}.items()
    )


def container_settings(port: int, cluster: str) -> dict[str, str]:
    """Return the same settings as environment variables of the image; clients connect to `port`."""
    settings = settings_of_one_node(
        f"PLAINTEXT://:{port},CONTROLLER://:9093", f"PLAINTEXT://{HOST}:{port}", "localhost:9093"
    )
    variables = {
        f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()
    }
    heap = " ".join(HEAP)
    return {
        **variables,
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        "CLUSTER_ID": cluster,
        "KAFKA_HEAP_OPTS": heap,
    }


def remove_container_data(place: Place) -> None:
    """Remove the volume of a broker in a container, if there is one."""
    port = read_json(place.ports).get("kafka")
    engine = machine.engine() if port else None
    if engine is not None:
        name = container_name(int(port or 0))
        subprocess.run([engine, "volume", "rm", "-f", name], capture_output=True, check=False)


def remove_all_but_jars(place: Place) -> None:
    """Remove a state folder except for the jars, which other systems and the next start use."""
    for entry in [*place.state.glob("*"), *(place.state / "kafka").glob("*")]:
        if entry.is_file():
            entry.unlink()
        elif entry != place.state / "kafka" and not entry.name.startswith("libs-"):
            shutil.rmtree(entry, ignore_errors=True)
    with contextlib.suppress(OSError):
        (place.state / "kafka").rmdir()
    with contextlib.suppress(OSError):
        place.state.rmdir()


def container_name(port: int) -> str:
    """Return the common name of the container that listens on a port and of its volume."""
    return f"repair-portal-kafka-{port}"
