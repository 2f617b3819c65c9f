"""`./dev up`, step by step: each step is idempotent, so a start that was broken off is simply run again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from deploy.local import (
    addresses,
    control,
    environment,
    logins,
    machine,
    once,
    postgres,
    probe,
    processes,
)
from deploy.local.layout import Place, venv_python
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.say import Steps
    from deploy.local.system import System

BACKEND_SECONDS = 120.0
SERVICE_SECONDS = 120.0
COUNT_SECONDS = 60.0
STEPS = 11
MIGRATIONS = (
    "services/repair-writer/src/repair_writer/migrations",
    "services/portal-query/src/portal_query/migrations",
    "services/gateway/src/gateway/migrations",
)


def packages(place: Place, steps: Steps) -> None:
    """Check the machine and bring the virtual environment up to its lock: what every command needs."""
    with steps.step("this machine") as step:
        version = machine.check_python()
        room = machine.check_disk(place.state, first=not environment.STAMP.exists())
        step.note(f"Python {version}, {room}")
    place.create()
    with steps.step("Python packages") as step:
        step.note("into .venv, from requirements.lock")
        step.note(environment.ensure(place.logs / "pip.log"))


def start(system: System, steps: Steps, *, demo: bool) -> None:
    """Start everything that does not run yet, in the order in which it depends on each other. Raises Trouble."""
    _backends(system, steps)
    _databases(system, steps)
    _topic_and_keys(system, steps)
    _services(system, steps)
    if demo:
        _demo(system, steps)


def _backends(system: System, steps: Steps) -> None:
    with steps.step("PostgreSQL, Valkey, Kafka") as step:
        if system.at.local_kafka:
            step.note("getting Kafka")
            step.note(system.broker.fetch())
        with ThreadPoolExecutor(2) as pool:
            making = []
            if system.at.local_postgres:
                making.append(pool.submit(system.cluster.create))
            if system.at.local_kafka:
                cluster = system.secrets["kafka_cluster_id"]
                making.append(pool.submit(system.broker.create, system.ports, cluster))
        for one in making:
            one.result()
        running = {found["name"] for found in control.processes(system.place)}
        ours = [spec for spec in system.services() if spec.name in running]
        control.want(system.place, [*system.backends(), *ours])


def _databases(system: System, steps: Steps) -> None:
    with steps.step("databases") as step:
        if system.at.local_postgres:
            _wait(
                system,
                "postgres",
                partial(probe.postgres, system.ports["postgres"]),
                BACKEND_SECONDS,
            )
            _roles(system)
        done = once.Once(system.place)
        mark = once.fingerprint(system.at.databases, folders=MIGRATIONS)
        if system.at.local_postgres and done.is_done("migrations", mark):
            step.note("as they should be")
            return
        every = processes.commands(system.at, system.key_files())
        once.run_all(
            {name: run for name, run in every.items() if name.startswith("migrate")}, system.place
        )
        done.mark("migrations", mark)
        step.note("migrated")


def _roles(system: System) -> None:
    done, sql = once.Once(system.place), postgres.ROLES_SQL.read_text()
    passwords = {name: system.secrets[f"{name}_password"] for name in addresses.DATABASE_VARIABLES}
    mark = once.fingerprint(sql, passwords)
    if not done.is_done("roles", mark):
        system.cluster.create_database(system.ports["postgres"], addresses.DATABASE, passwords)
        done.mark("roles", mark)


def _topic_and_keys(system: System, steps: Steps) -> None:
    with steps.step("topic and keys") as step:
        if system.at.local_kafka:
            step.note("waiting for Kafka")
            _wait(system, "kafka", partial(probe.kafka, system.ports["kafka"]), BACKEND_SECONDS)
        for name in ("documents", "limits"):
            if getattr(system.at, f"local_{name}"):
                _wait(
                    system,
                    f"valkey-{name}",
                    partial(probe.valkey, system.ports[name]),
                    BACKEND_SECONDS,
                )
        done = once.Once(system.place)
        mark = once.fingerprint(system.at, system.secrets)
        local = system.at.local_postgres and system.at.local_kafka
        if local and done.is_done("topic and keys", mark):
            step.note(system.at.topic)
            return
        every = processes.commands(system.at, system.key_files())
        commands = {name: run for name, run in every.items() if not name.startswith("migrate")}
        once.run_all(commands, system.place)
        done.mark("topic and keys", mark)
        step.note(f"{system.at.topic}, 2 API keys")


def _services(system: System, steps: Steps) -> None:
    ours = system.services()
    control.want(system.place, [*system.backends(), *ours])
    for title, names in (
        ("writer and relay", ("writer", "relay")),
        ("projectors", ("projector-1", "projector-2")),
        ("query api", ("query",)),
        ("gateway", ("gateway",)),
    ):
        with steps.step(title) as step:
            for spec in [spec for spec in ours if spec.name in names]:
                step.note(f"waiting for {spec.name}")
                _wait(system, spec.name, partial(probe.ready, spec.ops_port or 0), SERVICE_SECONDS)
            step.note("ready")


def _wait(system: System, name: str, answers: Callable[[], bool], seconds: float) -> None:
    """Wait until a process answers. Raises Trouble with the end of its log when it does not."""
    if probe.eventually(answers, seconds):
        return
    log = system.place.logs / f"{name}.log"
    raise Trouble(
        f"{name} is not ready after {seconds:.0f} s{_last_words(system, name)}",
        "See its log.",
        str(log),
    )


def _last_words(system: System, name: str) -> str:
    for found in control.processes(system.place):
        if found["name"] == name and found["restarts"]:
            return f" (it died {found['restarts']} times, at last with status {found['last_exit']})"
    return ""


def _demo(system: System, steps: Steps) -> None:
    with steps.step("demo customers") as step:
        done = once.Once(system.place)
        mark = demo_mark(system)
        if done.is_done("demo", mark):
            step.note("there already")
            return
        step.note("logins, and three years of repairs through the public API")
        zone = ["--time-zone", system.at.time_zone]
        on_gateway = {"GATEWAY_DATABASE_URL": system.at.databases["gateway"]}
        commands = logins.commands(system.place, on_gateway)
        commands["demo"] = ([*demo_command(system, "deploy.demo.load"), *zone], {})
        once.run_all(commands, system.place)
        done.mark("demo", mark)
        if system.at.local_postgres:
            step.note("waiting until all is counted")
            counted = probe.eventually(lambda: uncounted(system) == 0, COUNT_SECONDS)
            step.note("counted" if counted else "still being counted")


def demo_mark(system: System) -> str:
    """Return what the demo's step is remembered by."""
    return once.fingerprint(system.at.writer, system.at.databases["writer"])


def demo_command(system: System, module: str) -> list[str]:
    """Return how a program of the demo is run against this system."""
    key = system.key_files()["internal_key"]
    return [venv_python(), "-m", module, "--writer", system.at.writer, "--key-file", key]


def uncounted(system: System) -> int:
    """Return how many customers are not folded up to their head."""
    sql = (
        "SELECT count(*) FROM writer.customer w LEFT JOIN portal.customer p USING (customer_id) "
        "WHERE p.revision IS DISTINCT FROM w.revision"
    )
    return int(system.cluster.run_sql(system.ports["postgres"], addresses.DATABASE, sql=sql))
