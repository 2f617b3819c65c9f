"""The settings of the relay and of its commands."""

from pydantic import Field

from repair_events.topic import TOPIC
from service_runtime.settings import AdminSettings, ServiceSettings


class RelaySettings(ServiceSettings):
    """The settings of the relay process."""

    writer_database_url: str = Field(min_length=1)
    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)


class TopicCommandSettings(AdminSettings):
    """The settings of `repair-writer topic`. `kafka_replication` applies to a new topic."""

    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)
    kafka_replication: int = Field(default=1, ge=1, le=10)


class RepublishSettings(AdminSettings):
    """The settings of `repair-writer republish`."""

    writer_database_url: str = Field(min_length=1)
    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)
