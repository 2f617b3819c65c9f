"""`./dev doctor`: what this machine has, what it lacks, and the remedies."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local import control, environment, kafka, machine, ports, say
from deploy.local.layout import VENV, Place, read_json
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Finding:
    """One line of the examination; `remedy` is empty without a fault, `grave` is true if it prevents a start."""

    what: str
    is_so: str
    remedy: str = ""
    grave: bool = False


def examine(place: Place) -> list[Finding]:
    """Check every requirement of `./dev up`."""
    return [
        _checked("Python", machine.check_python),
        _checked(
            "disk", lambda: machine.check_disk(place.state, first=not environment.STAMP.exists())
        ),
        _memory(),
        _packages(),
        _kafka(place),
        _engine(),
        *_ports(place),
        _running(place),
    ]


def show(findings: list[Finding]) -> int:
    """Print the findings; return 1 if one prevents a start, else 0."""
    for found in findings:
        mark = say.paint("ok", say.GREEN)
        if found.remedy:
            mark = say.paint("missing", say.RED) if found.grave else say.paint("note", say.YELLOW)
        say.line(f"{mark:<8} {found.what:<18} {found.is_so}")
        if found.remedy:
            say.line(f"         {'':<18} {found.remedy}")
    grave = [found for found in findings if found.grave and found.remedy]
    say.line()
    say.line(
        f"{len(grave)} to mend before ./dev up." if grave else "Nothing is in the way of ./dev up."
    )
    return 1 if grave else 0


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, check())
    except Trouble as found:
        return Finding(what, found.what, found.remedy, grave=True)


def _memory() -> Finding:
    size = machine.memory_bytes()
    if size is None:
        return Finding("memory", "this machine does not say")
    remedy = (
        ""
        if size >= machine.ENOUGH_MEMORY
        else "The whole system takes some 2 GiB; less makes it slow."
    )
    return Finding("memory", machine.gibibytes(size), remedy)


def _packages() -> Finding:
    if environment.STAMP.exists():
        return Finding("packages", f"in {VENV.name}")
    return Finding("packages", "not installed yet; ./dev up does it")


def _kafka(place: Place) -> Finding:
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return Finding("Kafka", "given by KAFKA_BOOTSTRAP_SERVERS")
    java, maven = machine.find_java(), shutil.which("mvn")
    if kafka.Broker(place).libs.exists() and java:
        return Finding("Kafka", f"its jars are here, Java {java[1]}")
    if maven and java:
        return Finding("Kafka", f"Maven and Java {java[1]} will fetch it")
    if machine.can_apt():
        return Finding("Kafka", "./dev up will install Maven with apt-get and fetch it")
    if machine.engine():
        return Finding("Kafka", f"from the image {kafka.IMAGE}")
    return Finding(
        "Kafka", "neither Maven nor a container engine", kafka.WHAT_TO_INSTALL, grave=True
    )


def _engine() -> Finding:
    found = machine.engine()
    if found:
        return Finding("container engine", f"{found} answers; tests may take their servers from it")
    return Finding("container engine", "none, and none is needed; tests start their own servers")


def _ports(place: Place) -> list[Finding]:
    if control.supervisor(place) is not None:
        chosen = read_json(place.ports)
        return [
            Finding(
                "ports",
                ", ".join(f"{name} {port}" for name, port in chosen.items() if "ops" not in name),
            )
        ]
    taken = [f"{name} {port}" for name, port in ports.USUAL.items() if not ports.is_free(port)]
    if not taken:
        return [Finding("ports", "all usual ones are free")]
    return [
        Finding(
            "ports",
            f"taken: {', '.join(taken)}",
            "./dev up takes the next free ones and says which.",
        )
    ]


def _running(place: Place) -> Finding:
    pid = control.supervisor(place)
    said = f"supervisor {pid} runs" if pid else "nothing runs here"
    return Finding("system", f"{said} (Python {sys.version_info[0]}.{sys.version_info[1]})")
