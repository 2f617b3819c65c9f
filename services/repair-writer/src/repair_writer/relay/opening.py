"""Opens a producer for the topic, once the topic is there and as it must be."""

from repair_events.topic import PARTITIONS
from service_runtime.kafka import BatchProducer, Topics

_CLIENT = "repair-relay"


class UnusableTopicError(Exception):
    """The topic is not there, or not as it must be; the message says what to do."""


async def open_producer(bootstrap_servers: str, topic: str) -> BatchProducer:
    """Return a started producer; a topic that is missing is never made by asking for it.

    Raises UnusableTopicError, and what Kafka raises when it is away.
    """
    async with Topics(bootstrap_servers, client_id=_CLIENT) as topics:
        facts = await topics.facts(topic)
    if facts is None:
        raise UnusableTopicError(f"There is no topic {topic}: make it with `repair-writer topic`.")
    if facts.partitions != PARTITIONS:
        raise UnusableTopicError(
            f"Topic {topic} has {facts.partitions} partitions and must have "
            f"{PARTITIONS}: `repair-writer topic` says what to do."
        )
    producer = BatchProducer(bootstrap_servers, client_id=_CLIENT)
    return await producer.__aenter__()
