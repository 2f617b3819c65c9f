"""Memory of each idle process: the kernel's figure, as in `./dev status`."""

from __future__ import annotations

from bench.figures import Figure
from bench.running import resident

OURS = ("writer", "relay", "projector", "query", "gateway")
BOUND_MIB = 150


def run() -> list[Figure]:
    """Return the resident memory of each process; our own processes have a bound."""
    return [
        Figure(
            name=f"resident memory, {name}", value=mebibytes, unit="MiB", at_most=True,
            target=BOUND_MIB if name.startswith(OURS) else None,
        )
        for name, mebibytes in sorted(resident().items())
    ]  # fmt: skip
