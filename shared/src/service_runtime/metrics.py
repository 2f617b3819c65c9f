"""Metrics that several processes share, and the registry of all metrics.

Names follow OpenTelemetry's semantic conventions in Prometheus's spelling. A metric of one process
is defined beside the code that measures it, in the same registry.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HTTP_DURATION = Histogram(
    "http_server_request_duration_seconds",
    "How long a request took, from its first byte to the last of the answer.",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=SECONDS,
    registry=REGISTRY,
)
HTTP_REFUSED = Counter(
    "http_requests_refused",
    "Requests and connections that the HTTP server refused before the application ran.",
    ["reason"],
    registry=REGISTRY,
)
EVENT_LOOP_TASKS = Gauge(
    "process_event_loop_tasks",
    "Tasks of the event loop that have not ended. At rest it is constant: more is a leak.",
    registry=REGISTRY,
)
POOL_LENT = Gauge(
    "postgres_pool_lent_connections",
    "Connections of a Postgres pool that are in use. At rest it is 0: more is a leak.",
    ["pool"],
    registry=REGISTRY,
)
BUILD_INFO = Gauge(
    "repair_build_info",
    "Always 1; the labels say which.",
    ["service", "version"],
    registry=REGISTRY,
)
