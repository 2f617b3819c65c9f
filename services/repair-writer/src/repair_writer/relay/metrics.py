"""The relay's metrics. The alert rules use these names."""

from prometheus_client import Counter, Gauge

from service_runtime.metrics import REGISTRY

PENDING = Gauge(
    "repair_outbox_pending_records",
    "Accepted events that are not on Kafka yet.",
    registry=REGISTRY,
)
OLDEST_AGE = Gauge(
    "repair_outbox_oldest_age_seconds",
    "How long the oldest of them has waited, by Postgres's clock; 0 when none waits.",
    registry=REGISTRY,
)
REFUSED = Gauge(
    "repair_outbox_refused_records",
    "Events that Kafka refused for good and that lie in writer.outbox_refused: look at them.",
    registry=REGISTRY,
)
LEADER = Gauge(
    "repair_relay_leader",
    "1 while this relay is the one that sends, 0 while it waits for another.",
    registry=REGISTRY,
)
SENT = Counter(
    "repair_relay_sent_records",
    "Events that Kafka has acknowledged.",
    registry=REGISTRY,
)
FAILURES = Counter(
    "repair_relay_failures",
    "Times that a batch was refused, Kafka or Postgres was away, or the producer got stuck.",
    ["reason"],
    registry=REGISTRY,
)
