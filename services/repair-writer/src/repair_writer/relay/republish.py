"""Republishing whole streams, in order per customer, without the outbox.

It is for a topic that third parties read, or a topic that lost its records.
The projector drops the duplicates and does not need it. The database is not changed.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from repair_events import topic as language
from repair_writer.store.outbox import Pool
from repair_writer.store.republish import Listed, Wanted, select_events
from service_runtime.kafka import BatchProducer, Record

EVENTS_AT_ONCE: Final = 2_000
_PATIENCE_SECONDS: Final = 60.0


class NotSentError(Exception):
    """Kafka rejected records or did not respond. `customer_id` is where to resume."""

    def __init__(self, customer_id: int, reason: str) -> None:
        super().__init__(reason)
        self.customer_id = customer_id


async def republish(
    pool: Pool,
    producer: BatchProducer,
    topic: str,
    wanted: Wanted,
    progress: Callable[[int, int], None],
) -> int:
    """Send the selected events. Return their number.

    `progress` is called after each acknowledged page, with the number of sent events and the last
    customer id. Raises NotSentError when Kafka rejects a record or is silent for 60 seconds.
    """
    partitions = await producer.partitions(topic)
    sent, after = 0, (wanted.from_customer, 0)
    while page := await select_events(pool, wanted, after, EVENTS_AT_ONCE):
        await _send(producer, topic, partitions, page)
        sent += len(page)
        after = (page[-1].customer_id, page[-1].revision)
        progress(sent, after[0])
    return sent


async def _send(producer: BatchProducer, topic: str, partitions: int, page: list[Listed]) -> None:
    groups: dict[int, list[Record]] = {}
    for event in page:
        partition = language.partition(event.customer_id, partitions)
        record = Record(language.key(event.customer_id), event.payload)
        groups.setdefault(partition, []).append(record)
    sending = [producer.send(topic, partition, group) for partition, group in groups.items()]
    try:
        answers = await asyncio.wait_for(asyncio.gather(*sending), _PATIENCE_SECONDS)
    except TimeoutError as error:
        reason = f"Kafka has acknowledged nothing for {_PATIENCE_SECONDS:.0f} s."
        raise NotSentError(page[0].customer_id, reason) from error
    for answer in answers:
        if answer.error is not None:
            raise NotSentError(page[0].customer_id, repr(answer.error)) from answer.error
