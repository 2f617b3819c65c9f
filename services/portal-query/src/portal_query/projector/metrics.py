"""The projector's metrics."""

from prometheus_client import Counter, Gauge, Histogram

from service_runtime.metrics import REGISTRY, SECONDS

CONSUMED = Counter(
    "messaging_client_consumed_messages_total",
    "Records read from Kafka.",
    ["messaging_destination_name", "messaging_consumer_group_name"],
    registry=REGISTRY,
)
EVENTS = Counter(
    "repair_events_applied_total",
    "Events by what became of them: applied, duplicate, parked (their customer is), "
    "set-aside (their customer is refolded instead), bad (a dead letter).",
    ["result"],
    registry=REGISTRY,
)
BATCH_RECORDS = Histogram(
    "repair_projector_batch_records",
    "Records of one transaction.",
    buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000),
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "repair_projector_batch_duration_seconds",
    "How long one transaction took, retries included.",
    buckets=SECONDS,
    registry=REGISTRY,
)
PUBLISHED = Counter(
    "repair_documents_published_total", "Documents handed to Redis.", registry=REGISTRY
)
PUBLISH_FAILURES = Counter(
    "repair_publish_failures_total",
    "Rounds of publishing that failed and are repeated.",
    registry=REGISTRY,
)
UNPUBLISHED = Gauge(
    "repair_unpublished_customers",
    "Customers that have changed and are not in Redis yet.",
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "repair_consumer_lag_records",
    "Records of a partition that have not been published yet.",
    ["topic", "partition"],
    registry=REGISTRY,
)
AS_OF_SECONDS = Gauge(
    "repair_projection_lag_seconds",
    "Age of the oldest as_of of our partitions: everything accepted before is visible.",
    registry=REGISTRY,
)
REBALANCES = Counter("repair_consumer_rebalances_total", "Assignments received.", registry=REGISTRY)
ASSIGNED = Gauge("repair_consumer_assigned_partitions", "Partitions of ours.", registry=REGISTRY)
PAUSED = Gauge(
    "repair_consumer_paused",
    "1 while reading waits because applying cannot go on.",
    registry=REGISTRY,
)
REFOLDS = Counter(
    "repair_refolds_total",
    "Customers looked after, by why and by what came of it.",
    ["reason", "outcome"],
    registry=REGISTRY,
)
REFOLD_SECONDS = Histogram(
    "repair_refold_duration_seconds",
    "Seconds for the reconciliation of one customer.",
    buckets=(*SECONDS, 30.0, 60.0, 120.0),
    registry=REGISTRY,
)
REFOLDS_WAITING = Gauge(
    "repair_refolds_waiting", "Customers that wait to be looked after.", registry=REGISTRY
)
PARKED = Gauge(
    "repair_parked_customers",
    "Customers whose list cannot be folded: their figures stand still.",
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "repair_dlq_records_total", "Records that became dead letters.", registry=REGISTRY
)
HEADS_DIFFERENT = Counter(
    "repair_heads_different_total",
    "Customers found by comparing heads.",
    registry=REGISTRY,
)
INVARIANT_VIOLATIONS = Counter(
    "invariant_violations_total",
    "Customers found by the self-check for whom something that must always hold did not.",
    ["invariant"],
    registry=REGISTRY,
)
INVARIANT_CHECKED = Gauge(
    "invariant_checked_customers",
    "Customers of the last round of the self-check.",
    registry=REGISTRY,
)
HEADS_COMPARED = Counter("repair_heads_compared_total", "Heads compared.", registry=REGISTRY)
