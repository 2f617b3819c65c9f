"""The topic that the projector reads: whether it exists, and whether it is still the same."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from repair_events.topic import PARTITIONS
from service_runtime.kafka import TopicFacts, Topics


class NoTopicError(RuntimeError):
    """A topic that is missing or has the wrong number of partitions. An operator can correct it."""


class KnownTopic:
    """The topic, recognised by its id. Its one connection is reopened after a failure."""

    def __init__(self, make_topics: Callable[[], Topics], name: str) -> None:
        self._make_topics = make_topics
        self._name = name
        self._id: str | None = None
        self._topics: Topics | None = None
        self._open = AsyncExitStack()

    async def check(self) -> None:
        """Adopt the topic as it is now.

        Raises NoTopicError, because subscribing to a missing topic could create a wrong one.
        Raises what Kafka raises while it is unavailable.
        """
        facts = await self._facts()
        if facts.partitions != PARTITIONS:
            raise NoTopicError(
                f"topic {self._name} has {facts.partitions} partitions and not {PARTITIONS}"
            )
        self._id = facts.id

    async def was_made_anew(self) -> bool:
        """Return whether the topic's id has changed, and adopt the new id.

        Raises NoTopicError, or what Kafka raises while it is unavailable.
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
