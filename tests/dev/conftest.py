"""Fixtures: a supervisor in a folder of its own, with one-line Python programs as processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from deploy.local import borrowed, control
from deploy.local.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.local.layout import Place


@pytest.fixture
def place() -> Iterator[Place]:
    with borrowed.temporary_place() as found:
        yield found
        control.stop(found, lambda _: None)


@pytest.fixture
def script(place: Place) -> Callable[..., Spec]:
    """Return a maker of processes: a name, a program, and further fields of a Spec."""

    def make(name: str, program: str, **more: object) -> Spec:
        settings = {"folder": str(place.state), "grace_seconds": 5.0, **more}
        return Spec(name=name, argv=[sys.executable, "-c", program], **settings)  # type: ignore[arg-type]

    return make
