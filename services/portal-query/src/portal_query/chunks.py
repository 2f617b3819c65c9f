"""Bounded parts of a sequence (`itertools.batched` needs Python 3.12)."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the values in parts of `size`; the last part may be shorter."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
