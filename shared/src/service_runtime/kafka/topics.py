"""Topics: create one, check the settings of an existing one, identify it by its id."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from service_runtime.kafka.consumer import TopicPartition, create_consumer
from service_runtime.kafka.topic_metadata import TopicMetadataRequest, topic_metadata

_DAY_MS: Final = 86_400_000
_NO_ERROR: Final = 0
_APPEARS_SECONDS: Final = 10.0


class TopicMismatchError(Exception):
    """Existing topic with wrong settings; `problems` are sentences for the operator."""

    def __init__(self, name: str, problems: list[str]) -> None:
        super().__init__(f"Topic {name} cannot be used as it is: " + " ".join(problems))
        self.name = name
        self.problems = problems


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """Required settings of a topic. `replication` applies only to its creation."""

    name: str
    partitions: int
    retention_days: int
    replication: int = 1
    max_record_bytes: int = 1_048_588

    @property
    def config(self) -> dict[str, str]:
        """The broker's configuration; a write needs all but one replica, and at least one."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * _DAY_MS),
            "max.message.bytes": str(self.max_record_bytes),
            "min.insync.replicas": str(max(1, self.replication - 1)),
            "unclean.leader.election.enable": "false",
            # The broker's own time: with the producer's time it would reject records from a fast clock.
            "message.timestamp.type": "LogAppendTime",
        }


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """Actual state of a topic. A recreated topic has another `id` (UUID text)."""

    name: str
    id: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


class Topics:
    """Administrative connection; `async with` opens it (KafkaError when no broker responds)."""

    def __init__(self, bootstrap_servers: str, *, client_id: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._client_id = client_id
        self._driver: Any = None

    async def __aenter__(self) -> Self:
        self._driver = AIOKafkaAdminClient(
            bootstrap_servers=self._bootstrap_servers,
            client_id=self._client_id,
            request_timeout_ms=15_000,
        )
        try:
            await self._driver.start()
        except BaseException:
            await self._driver.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._driver.close()

    async def ensure(self, wanted: TopicSettings) -> bool:
        """Create the topic and return True; return False if it exists with the right settings.

        Raises TopicMismatchError with every wrong setting, and leaves the topic unchanged.
        """
        facts, made = await self.facts(wanted.name), False
        if facts is None:
            made = await self._create(wanted)
            facts = await self._appeared(wanted.name)
        problems = _problems(facts, wanted)
        if problems:
            raise TopicMismatchError(wanted.name, problems)
        return made

    async def facts(self, name: str) -> TopicFacts | None:
        """Return the actual state of the topic, None if it does not exist."""
        client = self._driver._client  # noqa: SLF001 - the driver's own request makes topics
        response = await client.send(client.get_random_node(), TopicMetadataRequest(name))
        found = topic_metadata(response)
        if found is None:
            return None
        try:
            config = await self._config(name)
        except UnknownTopicOrPartitionError:
            return None  # deleted between the two requests
        return TopicFacts(
            name=name,
            id=found.id,
            partitions=found.partitions,
            replication=found.replication,
            config=config,
        )

    async def offsets(self, name: str) -> dict[int, tuple[int, int]]:
        """Return (first stored offset, offset of the next record) by partition."""
        facts = await self.facts(name)
        consumer = create_consumer(self._bootstrap_servers, client_id=self._client_id)
        await consumer.start()
        try:
            parts = [TopicPartition(name, p) for p in range(facts.partitions if facts else 0)]
            first = await consumer.beginning_offsets(parts)
            following = await consumer.end_offsets(parts)
        finally:
            await consumer.stop()
        return {part.partition: (first[part], following[part]) for part in parts}

    async def delete(self, name: str) -> None:
        """Delete the topic and all its records; raises KafkaError if it does not exist."""
        response = await self._driver.delete_topics([name])
        for _, code in response.topic_error_codes:
            _raise_for(code, f"delete {name}")

    async def _appeared(self, name: str) -> TopicFacts | None:
        """Return the state of a new topic once the brokers return it, None after ten seconds."""
        deadline = asyncio.get_running_loop().time() + _APPEARS_SECONDS
        while (facts := await self.facts(name)) is None:
            if asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(0.05)
        return facts

    async def _create(self, wanted: TopicSettings) -> bool:
        """Create the topic; return False if another process has just created it."""
        topic = NewTopic(
            wanted.name, wanted.partitions, wanted.replication, topic_configs=wanted.config
        )
        response = await self._driver.create_topics([topic])
        for _, code, message in response.topic_errors:
            if for_code(code) is TopicAlreadyExistsError:
                return False
            _raise_for(code, f"create {wanted.name}: {message}")
        return True

    async def _config(self, name: str) -> dict[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        (response,) = await self._driver.describe_configs([resource])
        (found,) = response.resources
        code, message, entries = found[0], found[1], found[4]
        _raise_for(code, f"describe {name}: {message}")
        return {entry[0]: entry[1] for entry in entries}


def _problems(facts: TopicFacts | None, wanted: TopicSettings) -> list[str]:
    """Return a sentence for each wrong setting of the topic."""
    if facts is None:
        return ["It has been made and cannot be found yet; try again."]
    problems = []
    if facts.partitions != wanted.partitions:
        problems.append(
            f"It has {facts.partitions} partitions and must have {wanted.partitions}:"
            " make a topic under another name, or delete this one."
        )
    if facts.config.get("cleanup.policy") != "delete":
        problems.append(
            f"cleanup.policy is {facts.config.get('cleanup.policy')} and must be delete:"
            " compaction would keep one event per customer."
        )
    retention = int(facts.config.get("retention.ms", "-1"))
    if 0 <= retention < wanted.retention_days * _DAY_MS:
        problems.append(
            f"retention.ms is {retention} and must be at least"
            f" {wanted.retention_days * _DAY_MS} ({wanted.retention_days} days)."
        )
    allowed = int(facts.config.get("max.message.bytes", wanted.max_record_bytes))
    if allowed < wanted.max_record_bytes:
        problems.append(
            f"max.message.bytes is {allowed} and must be at least {wanted.max_record_bytes}."
        )
    return problems


def _raise_for(code: int, what: str) -> None:
    if code != _NO_ERROR:
        raise cast("type[Exception]", for_code(code))(what)
