"""Partition of a customer: the same for every producer, as Kafka's default partitioner computes it."""

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner

from repair_events.topic import PARTITIONS, key, partition


@pytest.mark.parametrize("partitions", [1, 3, PARTITIONS, 64])
def test_kafkas_default_partitioner_agrees_for_thousands_of_customers(partitions: int) -> None:
    choose = DefaultPartitioner()
    everywhere = list(range(partitions))
    rng = random.Random(20260301)
    customers = [*range(1, 5_000), *(rng.randrange(1, 2**63) for _ in range(5_000)), 2**63 - 1]
    for customer in customers:
        theirs = choose(key(customer), everywhere, everywhere)
        assert partition(customer, partitions) == theirs, customer


def test_customers_spread_over_all_partitions() -> None:
    assert {partition(customer) for customer in range(1, 200)} == set(range(PARTITIONS))


def test_where_a_customer_goes_never_changes() -> None:
    """The values are those of Utils.murmur2 in the Java client 4.3, made positive, modulo 12."""
    assert [partition(customer) for customer in (1, 2, 3, 42, 1042, 2**63 - 1)] == [
        3,
        8,
        11,
        4,
        11,
        9,
    ]
