"""Lock of a state folder: one command at a time starts, stops or copies the system."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from deploy.local.layout import PRIVATE_UMASK
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.local.layout import Place


@contextmanager
def claim(place: Place) -> Iterator[None]:
    """Lock the place during the body; files written meanwhile are private to their owner.

    Raises Trouble if another command has the lock.
    """
    usual = os.umask(PRIVATE_UMASK)
    try:
        yield from _held(place)
    finally:
        os.umask(usual)


def _held(place: Place) -> Iterator[None]:
    with (place.state / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise Trouble(
                "another ./dev up, backup or restore is at work here",
                "Wait for it to end; ./dev status shows how far it is.",
            ) from problem
        yield
