"""`./dev up`, step by step: each step is idempotent, so an interrupted start is simply repeated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from deploy.local import (
    addresses,
    control,
    credentials,
    environment,
    logins,
    machine,
    once,
    probe,
    processes,
    stores,
)
from deploy.local.layout import Place, venv_python
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploy.local.say import Step, Steps
    from deploy.local.system import System

BACKEND_SECONDS = 120.0
SERVICE_SECONDS = 120.0
COUNT_SECONDS = 60.0
STEPS = 11


def packages(place: Place, steps: Steps) -> None:
    """Check the machine and update the virtual environment to its lock; every command needs both."""
    with steps.step("this machine") as step:
        version = machine.check_python()
        room = machine.check_disk(place.state, first=not environment.STAMP.exists())
        step.note(f"Python {version}, {room}")
    place.create()
    with steps.step("Python packages") as step:
        step.note("into .venv, from requirements.lock")
        step.note(environment.ensure(place.logs / "pip.log"))


def start(system: System, steps: Steps, *, demo: bool) -> None:
    """Start every process that is down, in the order of dependencies. Raises Trouble."""
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
        lost = stores.lost(system)
        _stop_without_data(system, lost, step.note)
        with ThreadPoolExecutor(2) as pool:
            making = []
            if system.at.local_postgres:
                making.append(pool.submit(system.cluster.create))
            if system.at.local_kafka:
                cluster = system.secrets["kafka_cluster_id"]
                making.append(pool.submit(system.broker.create, system.ports, cluster))
        for one in making:
            one.result()
        running = set(control.running(system.place))
        ours = [spec for spec in system.services() if spec.name in running]
        control.want(system.place, [*system.backends(), *ours])
        step.note(f"had no data, made: {', '.join(lost)}" if lost else "data is there")


def _stop_without_data(system: System, lost: list[str], show: Callable[[str], None]) -> None:
    """Stop servers whose data folder was removed, and with PostgreSQL all processes that use its rows."""
    running = set(control.running(system.place))
    stopped = running if "postgres" in lost else running.intersection(lost)
    if not stopped:
        return
    kept = [
        spec
        for spec in [*system.backends(), *system.services()]
        if spec.name in running and spec.name not in stopped
    ]
    control.want(system.place, kept)
    control.wait_for_silence(system.place, {spec.name for spec in kept}, show)


def _databases(system: System, steps: Steps) -> None:
    """Create database, roles and schemas, and run the migrations; both are idempotent."""
    with steps.step("databases") as step:
        newest = stores.newest_migrations()
        before: dict[str, str] = {}
        if system.at.local_postgres:
            postgres = partial(probe.postgres, system.ports["postgres"])
            _wait(system, "postgres", postgres, BACKEND_SECONDS)
            passwords = {role: system.secrets[f"{role}_password"] for role in credentials.ROLES}
            port = system.ports["postgres"]
            system.cluster.create_database(port, addresses.DATABASE, passwords)
            before = stores.migrations(system)
        behind = [schema for schema in newest if before.get(schema) != newest[schema]]
        every = processes.commands(system.at, system.key_files())
        names = [f"migrate {schema}" for schema in behind]
        once.run_all({name: every[name] for name in names}, system.place)
        step.note(_made_or_moved(behind, before) or "as they should be")


def _made_or_moved(behind: list[str], before: Mapping[str, str]) -> str:
    made = [schema for schema in behind if schema not in before]
    moved = [schema for schema in behind if schema in before]
    parts = {"had no tables, made: ": made, "migrated: ": moved}
    return "; ".join(word + ", ".join(schemas) for word, schemas in parts.items() if schemas)


def _topic_and_keys(system: System, steps: Steps) -> None:
    with steps.step("topic and keys") as step:
        if system.at.local_kafka:
            step.note("waiting for Kafka")
            _wait(system, "kafka", partial(probe.kafka, system.ports["kafka"]), BACKEND_SECONDS)
        for use in ("documents", "limits"):
            if use in system.at.local_valkeys:
                valkey = partial(probe.valkey, system.ports[use])
                _wait(system, f"valkey-{use}", valkey, BACKEND_SECONDS)
        keys = stores.missing_keys(system)
        names = [] if stores.has_topic(system) else ["topic"]
        names += [processes.KEY_COMMANDS[key] for key in sorted(keys)]
        every = processes.commands(system.at, system.key_files())
        said = once.run_all({name: every[name] for name in names}, system.place)
        step.note("; ".join(said.values()) or f"{system.at.topic} and both keys are there")


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
    """Wait until a process responds. Raises Trouble with the end of its log if it does not."""
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
        if stores.is_restored(system):
            step.note("none: these data were restored from a backup")
            return
        missing = stores.missing_demo(system)
        if not missing:
            step.note("there already")
            _wait_until_counted(system, step)
            return
        step.note("logins, and three years of repairs through the public API")
        zone = ["--time-zone", system.at.time_zone]
        on_gateway = {"GATEWAY_DATABASE_URL": system.at.databases["gateway"]}
        commands = logins.commands(system.place, on_gateway) if "logins" in missing else {}
        if "fleets" in missing:
            commands["demo"] = ([*demo_command(system, "deploy.demo.load"), *zone], {})
        once.run_all(commands, system.place)
        step.note(f"made: {', '.join(missing)}")
        _wait_until_counted(system, step)


def _wait_until_counted(system: System, step: Step) -> None:
    """Wait, up to a limit, until every customer's counts are at its head: a lost read model is rebuilt."""
    if not stores.holds(system, "writer", "portal") or uncounted(system) == 0:
        return
    said = step.detail
    step.note("waiting until all is counted")
    counted = probe.eventually(lambda: uncounted(system) == 0, COUNT_SECONDS)
    step.note(f"{said}; {'counted' if counted else 'still being counted'}")


def demo_command(system: System, module: str) -> list[str]:
    """Return the command of a program of the demo against this system."""
    key = system.key_files()["internal_key"]
    return [venv_python(), "-m", module, "--writer", system.at.writer, "--key-file", key]


def uncounted(system: System) -> int:
    """Return the number of customers whose counts are at another revision than their head."""
    sql = (
        "SELECT count(*) FROM writer.customer w LEFT JOIN portal.customer p USING (customer_id) "
        "WHERE p.revision IS DISTINCT FROM w.revision"
    )
    return int(system.cluster.run_sql(system.ports["postgres"], addresses.DATABASE, sql=sql))
