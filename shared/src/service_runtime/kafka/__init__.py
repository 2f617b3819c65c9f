"""Kafka client: records as bytes. Only this package imports the driver.

`consumer` builds a consumer with measured settings.
`producer` sends records grouped by partition and returns the acknowledged count of each partition.
`topics` creates a topic, checks the settings of an existing one, and returns a topic's id.
`errors` classifies errors. `connection` turns resets under uvloop into errors that the driver handles.
"""

from service_runtime.kafka import connection
from service_runtime.kafka.consumer import (
    Consumer,
    ConsumerRecord,
    RebalanceListener,
    TopicPartition,
    create_consumer,
    has_stopped_fetching,
    is_waiting_to_rejoin,
)
from service_runtime.kafka.errors import (
    CommitFailedError,
    KafkaError,
    is_infrastructure,
    is_too_large,
)
from service_runtime.kafka.producer import BatchProducer, Record, Sent
from service_runtime.kafka.topics import (
    TopicFacts,
    TopicMismatchError,
    Topics,
    TopicSettings,
)

connection.install()

__all__ = [
    "BatchProducer",
    "CommitFailedError",
    "Consumer",
    "ConsumerRecord",
    "KafkaError",
    "RebalanceListener",
    "Record",
    "Sent",
    "TopicFacts",
    "TopicMismatchError",
    "TopicPartition",
    "TopicSettings",
    "Topics",
    "create_consumer",
    "has_stopped_fetching",
    "is_infrastructure",
    "is_too_large",
    "is_waiting_to_rejoin",
]
