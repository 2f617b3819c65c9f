"""Derived data, deleted and recreated: the read model, Kafka's data, both Valkeys.

The writer's event streams, users and keys are kept. An operator uses this when derived data is in doubt. It also proves
that a system needs none of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from deploy.local import addresses, control, probe, restore, start
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from deploy.local.say import Steps
    from deploy.local.system import System

# Three own steps, and the seven of a start without demo.
STEPS = 10


def check_local(system: System) -> None:
    """Raise Trouble if derived data is on another server than those of this place."""
    at = system.at
    if not (at.local_postgres and at.local_kafka and "documents" in at.local_valkeys):
        raise Trouble(
            "not all of the copies are on servers of this place",
            "docs/operating.md (From nothing) says how it is done elsewhere.",
        )


def make_again(system: System, steps: Steps) -> None:
    """Stop everything, delete derived data, start, and wait until all counts equal the streams. Raises Trouble."""
    postgres = [spec for spec in system.backends() if spec.name == "postgres"]
    with steps.step("stopping all but PostgreSQL") as step:
        control.want(system.place, postgres)
        control.wait_for_silence(system.place, {"postgres"}, step.note)
    with steps.step("throwing the copies away") as step:
        ready = partial(probe.postgres, system.ports["postgres"])
        if not probe.eventually(ready, start.BACKEND_SECONDS):
            raise Trouble("PostgreSQL does not answer", "./dev logs postgres says why.")
        drop = "DROP SCHEMA IF EXISTS portal CASCADE"
        system.cluster.run_sql(system.ports["postgres"], addresses.DATABASE, sql=drop)
        system.broker.forget()
        step.note("read model, Kafka's data; Valkey keeps none")
    start.start(system, steps, demo=False)
    with steps.step("folding all lists") as step:
        restore.wait_for_agreement(system, step.note)
        step.note("every customer's figures are those of the list")
