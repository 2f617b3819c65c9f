"""The topic that we read: whether it is there, and whether it is still the one that we know."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from repair_events.topic import PARTITIONS
from service_runtime.kafka import TopicFacts, Topics


class NoTopicError(RuntimeError):
    """The topic is not there, or not as it must be; waiting for an operator helps."""


class KnownTopic:
    """Remembers the topic by its id. It asks over one connection, opened anew after it failed."""

    def __init__(self, make_topics: Callable[[], Topics], name: str) -> None:
        self._make_topics = make_topics
        self._name = name
        self._id: str | None = None
        self._topics: Topics | None = None
        self._open = AsyncExitStack()

    async def check(self) -> None:
        """Take the topic as it is now for the one that is read.

        Raises NoTopicError: subscribing to a topic that is not there could make a wrong one.
        """
        facts = await self._facts()
        if facts.partitions != PARTITIONS:
            raise NoTopicError(
                f"topic {self._name} has {facts.partitions} partitions and not {PARTITIONS}"
            )
        self._id = facts.id

    async def was_made_anew(self) -> bool:
        """Say whether it is another one than it was; from then on that is the one we know.

        Raises NoTopicError, or what Kafka raises when it is away.
        """
        before, self._id = self._id, (await self._facts()).id
        return before != self._id

    async def close(self) -> None:
        """Close the connection."""
        self._topics = None
        await self._open.aclose()

    async def _facts(self) -> TopicFacts:
        try:
            if self._topics is None:
                self._topics = await self._open.enter_async_context(self._make_topics())
            facts = await self._topics.facts(self._name)
        except BaseException:
            await self.close()
            raise
        if facts is None:
            raise NoTopicError(f"there is no topic {self._name}: `repair-writer topic` makes it")
        return facts
