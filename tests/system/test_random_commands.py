"""Random commands over fifty customers by eight clients at once: every hop agrees with an
independent fold.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest
from tests.oracle import hops
from tests.oracle.fold import check_acks, check_moves
from tests.system.commands import World

if TYPE_CHECKING:
    from tests.system.conftest import Portal

CUSTOMERS = 50
CLIENTS = 8


async def check_world(portal: Portal, world: World, customers: list[int]) -> None:
    """Compare all hops with each other and the stream with the writer's responses."""
    folds = await portal.agreed(customers)
    lists = await hops.event_list(portal.databases["writer"], customers)
    events = {
        (customer_id, revision): json.loads(payload)
        for customer_id, payloads in lists.items()
        for revision, payload in enumerate(payloads, start=1)
    }
    for payloads in lists.values():
        check_moves(map(json.loads, payloads))
    check_acks(events, world.acks.changes)
    total = sum(folded.counts(portal.time_zone).total() for folded in folds.values())
    assert total == await portal.present(customers)


async def run_and_check(portal: Portal, commands: int, seed: int) -> None:
    customers = await portal.customers(CUSTOMERS)
    world = World(portal.writer, customers, seed, secrets.token_hex(4))
    acks = await world.run(commands, CLIENTS)
    assert sum(acks.sent.values()) + sum(acks.refused.values()) == commands
    await check_world(portal, world, customers)


@pytest.mark.parametrize("seed", [1])
async def test_three_thousand_random_commands_come_through_every_hop(
    portal: Portal, seed: int
) -> None:
    await run_and_check(portal, 3_000, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
async def test_ten_thousand_random_commands_come_through_every_hop(
    portal: Portal, seed: int
) -> None:
    await run_and_check(portal, 10_000, seed)


async def test_the_list_over_http_is_the_stored_list(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    world = World(portal.writer, [customer], 4, secrets.token_hex(4))
    await world.run(40, 2)

    stored = await hops.event_list(portal.databases["writer"], [customer])
    found = portal.stack.description
    sent = await hops.event_list_over_http(found["urls"]["writer"], found["internal_key"], customer)

    assert sent == stored[customer]
