"""The settings of the relay and of its command line."""

from pydantic import Field

from repair_events.topic import TOPIC
from service_runtime.settings import AdminSettings, ServiceSettings


class RelaySettings(ServiceSettings):
    """What the relay reads from the environment."""

    writer_database_url: str = Field(min_length=1)
    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)


class TopicCommandSettings(AdminSettings):
    """What `repair-writer topic` reads; `kafka_replication` counts when the topic is made."""

    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)
    kafka_replication: int = Field(default=1, ge=1, le=10)


class RepublishSettings(AdminSettings):
    """What `repair-writer republish` reads."""

    writer_database_url: str = Field(min_length=1)
    kafka_bootstrap_servers: str = Field(min_length=1)
    kafka_topic: str = Field(default=TOPIC, min_length=1)
