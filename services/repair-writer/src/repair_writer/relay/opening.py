"""Creation of a producer, after a check of the topic."""

from repair_events.topic import PARTITIONS
from service_runtime.kafka import BatchProducer, Topics

_CLIENT = "repair-relay"


class UnusableTopicError(Exception):
    """The topic is missing or has wrong settings. The message gives the remedy."""


async def open_producer(bootstrap_servers: str, topic: str) -> BatchProducer:
    """Return a started producer. A missing topic is not created as a side effect.

    Raises UnusableTopicError, and the error of Kafka when it is unavailable.
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
