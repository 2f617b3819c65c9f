"""Servers for one test run: from the environment, from containers, or from local binaries.

TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_KAFKA_BOOTSTRAP_SERVERS name running servers.
TEST_BACKENDS=local or TEST_BACKENDS=containers selects the kind on a machine with both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import credentials, kafka, machine, ports, postgres, probe, unprivileged, valkey
from deploy.local.layout import Place, venv_command
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.local.spec import Spec

# As in docker-compose.yml.
IMAGES = {"postgres": "postgres:18.6", "valkey": "valkey/valkey:9.1.2", "kafka": kafka.IMAGE}
# Test data need not survive a crash of the machine; commits stay synchronous as in production.
FOR_TESTS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
}
READY_SECONDS = 60.0
SUPERUSER_PASSWORD = "postgres"  # noqa: S105 - of a server that lives as long as the tests
VALKEY_PASSWORD = "valkey"  # noqa: S105 - likewise


@cache
def containers_answer(image: str) -> bool:
    """Return whether a container engine has this image, as tests pull none. Raises Trouble if it must and has not."""
    choice = os.environ.get("TEST_BACKENDS", "")
    if choice == "local":
        return False
    answers = machine.engine() == "docker" and machine.has_image("docker", image)
    if choice == "containers" and not answers:
        raise Trouble(
            f"TEST_BACKENDS asks for containers, but no engine holds {image}",
            "Pull it, or unset it.",
        )
    return answers


@contextmanager
def temporary_place() -> Iterator[Place]:
    """Yield a temporary state folder, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="repair-portal-"))
    place = Place(folder)
    place.create()
    try:
        yield place
    finally:
        unprivileged.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def foreground(spec: Spec, place: Place, answers: Callable[[], bool]) -> Iterator[None]:
    """Run one server during the body. Raises Trouble with its log if it does not respond within 60 s."""
    log = place.logs / f"{spec.name}.log"
    with log.open("a") as output:
        process = subprocess.Popen(
            spec.argv,
            cwd=spec.folder,
            env={**os.environ, **spec.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=spec.user,
            group=unprivileged.group() if spec.user else None,
            extra_groups=[] if spec.user else None,
            process_group=0,
        )
    try:
        if not probe.eventually(answers, READY_SECONDS):
            raise Trouble(f"{spec.name} does not answer: {log.read_text()[-2000:]}")
        yield
    finally:
        process.send_signal(spec.stop_signal)
        try:
            process.wait(spec.grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run a PostgreSQL 18; yield the URL of its superuser's database."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield given
        return
    port = ports.choose({"postgres": 0})["postgres"]
    url = postgres.url(postgres.SUPERUSER, SUPERUSER_PASSWORD, port, "postgres")
    if containers_answer(IMAGES["postgres"]):
        options = " ".join(f"-c {name}={value}" for name, value in FOR_TESTS.items())
        settings = {"POSTGRES_PASSWORD": SUPERUSER_PASSWORD}
        # During initdb the image's server listens on no port, so the first response is from the final server.
        with container(
            IMAGES["postgres"], {5432: port}, settings, options, lambda: probe.postgres(port)
        ):
            yield url
        return
    with temporary_place() as place:
        cluster = postgres.Cluster(place, SUPERUSER_PASSWORD)
        cluster.create()
        spec = cluster.spec(port)
        fast = [part for name, value in FOR_TESTS.items() for part in ("-c", f"{name}={value}")]
        with foreground(
            replace(spec, argv=[*spec.argv, *fast]), place, lambda: probe.postgres(port)
        ):
            yield url


@contextmanager
def valkey_url() -> Iterator[str]:
    """Run a Valkey; yield its URL."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    port = ports.choose({"valkey": 0})["valkey"]
    if containers_answer(IMAGES["valkey"]):
        command = f"valkey-server --requirepass {VALKEY_PASSWORD}"
        with container(IMAGES["valkey"], {6379: port}, {}, command, lambda: probe.valkey(port)):
            yield valkey.url(port, VALKEY_PASSWORD)
        return
    with temporary_place() as place:
        spec = valkey.spec(place, "documents", port, VALKEY_PASSWORD)
        with foreground(spec, place, lambda: probe.valkey(port)):
            yield valkey.url(port, VALKEY_PASSWORD)


@contextmanager
def kafka_servers() -> Iterator[str]:
    """Run an Apache Kafka; yield its bootstrap servers."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    chosen = ports.choose({"kafka": 0, "kafka_controller": 0})
    port, cluster = chosen["kafka"], credentials.cluster_id()
    if containers_answer(kafka.IMAGE):
        # The broker advertises its own port to clients: the port outside must equal the port inside.
        settings = kafka.container_settings(port, cluster)
        with container(kafka.IMAGE, {port: port}, settings, "", lambda: probe.kafka(port)):
            yield f"{ports.HOST}:{port}"
        return
    with temporary_place() as place:
        broker = kafka.Broker(place)
        broker.fetch()
        broker.create(chosen, cluster)
        with foreground(broker.spec(chosen, cluster, brief=True), place, lambda: probe.kafka(port)):
            yield f"{ports.HOST}:{port}"


def migrate(command: str, settings: dict[str, str]) -> None:
    """Run the migrations of one service. Raises Trouble with its output."""
    done = subprocess.run(
        [venv_command(command), "migrate"],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(f"{command} migrate: {done.stdout}{done.stderr}")


@contextmanager
def container(
    image: str,
    published: dict[int, int],
    settings: dict[str, str],
    command: str,
    answers: Callable[[], bool],
) -> Iterator[None]:
    """Run a container during the body; `published` maps its ports to local ones. Raises Trouble with its log."""
    # The cleanup container of testcontainers would be pulled; this context stops the container itself.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only where an engine is

    lent = DockerContainer(image)
    for inside, outside in published.items():
        lent.with_bind_ports(inside, outside)
    for name, value in settings.items():
        lent.with_env(name, value)
    if command:
        lent.with_command(command)
    with lent:
        if not probe.eventually(answers, READY_SECONDS):
            out, err = lent.get_logs()
            raise Trouble(
                f"{image} does not answer: {(out + err).decode(errors='replace')[-2000:]}"
            )
        yield
