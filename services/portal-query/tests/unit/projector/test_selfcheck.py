"""Findings of the self-check, and its order of customers."""

import dataclasses
from typing import Any

import pytest

from portal_query.document import Version
from portal_query.projector.lately import Lately
from portal_query.projector.selfcheck import Invariant, broken
from portal_query.read_model.invariants import Tallied

SOUND = Tallied(
    customer_id=7,
    refold=100,
    revision=5,
    still=False,
    units=3,
    months=3,
    statuses=3,
    repairs=3,
    different=0,
    below_zero=0,
)


@pytest.mark.parametrize("document", [None, Version(100, 5), Version(100, 4), Version(99, 9)])
def test_nothing_is_broken_when_all_is_sound_and_redis_is_not_newer(
    document: Version | None,
) -> None:
    assert broken(SOUND, document) == []


@pytest.mark.parametrize("name", ["units", "months", "statuses", "repairs"])
def test_each_sum_must_be_the_number_of_repairs(name: str) -> None:
    changed: dict[str, Any] = {name: 4}

    assert broken(dataclasses.replace(SOUND, **changed), None) == [Invariant.SUMS_EQUAL]


def test_a_bucket_may_be_wrong_though_the_sums_are_right() -> None:
    one = dataclasses.replace(SOUND, different=2)

    assert broken(one, None) == [Invariant.COUNTS_ARE_REPAIRS]


def test_nothing_may_be_counted_less_than_no_times() -> None:
    one = dataclasses.replace(SOUND, different=2, below_zero=1)

    assert broken(one, None) == [Invariant.COUNTS_ARE_REPAIRS, Invariant.NOT_BELOW_ZERO]


@pytest.mark.parametrize("document", [Version(100, 6), Version(101, 1)])
def test_redis_must_not_be_newer_than_postgres(document: Version) -> None:
    assert broken(SOUND, document) == [Invariant.REDIS_NOT_AHEAD]


def test_the_latest_are_looked_at_first_and_each_once() -> None:
    lately = Lately()
    lately.add([1, 2, 3])
    lately.add([1])

    assert lately.take(2) == [1, 3]
    assert lately.take(2) == [2]
    assert lately.take(2) == []


def test_of_too_many_the_oldest_are_left_to_the_pages() -> None:
    lately = Lately()
    lately.add(range(25_000))

    assert lately.take(30_000) == list(reversed(range(15_000, 25_000)))
