"""The one door to Kafka: bytes in and out, never what they mean.

`consumer` builds a consumer with the settings that were measured to be right.
`producer` sends records grouped by partition and says, per partition, how many Kafka has taken.
`topics` creates a topic or says what is wrong with the one that is there, and knows a topic's id.
`errors` names what can go wrong, `connection` mends what the driver does not see. Nothing else in the system imports the driver.
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
