"""Everything that is only a copy, thrown away and made again: the read model, Kafka's data, both Valkeys.

The writer's lists, users and keys stay. It is what an operator does who trusts no copy any more, and the proof that
none of them is needed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from deploy.local import addresses, control, probe, restore, start
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from deploy.local.say import Steps
    from deploy.local.system import System

# Three of its own, and the seven of a start without demo.
STEPS = 10


def check_local(system: System) -> None:
    """Raise Trouble when one of the copies is not on a server of this place."""
    at = system.at
    if not (at.local_postgres and at.local_kafka and at.local_documents):
        raise Trouble(
            "not all of the copies are on servers of this place",
            "docs/operating.md (From nothing) says how it is done elsewhere.",
        )


def make_again(system: System, steps: Steps) -> None:
    """Stop everything, throw the copies away, start, and wait until all figures are those of the lists. Raises Trouble."""
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
