"""The metrics of the gateway alone."""

from prometheus_client import Counter, Gauge, Histogram

from service_runtime.metrics import REGISTRY

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)

SENT_TO_LOGIN = Counter(
    "gateway_redirects_to_login", "Requests without a live session.", registry=REGISTRY
)
LOOKUPS = Counter(
    "gateway_session_lookups",
    "Sessions looked up, once a batch; errors by request.",
    ["result"],
    registry=REGISTRY,
)
LOOKUP_SECONDS = Histogram(
    "gateway_session_lookup_seconds",
    "How long one shared reading of sessions took.",
    buckets=_FAST,
    registry=REGISTRY,
)
LOGINS = Counter("gateway_logins", "Attempts to sign in.", ["result"], registry=REGISTRY)
HASHES_WAITING = Gauge(
    "gateway_password_hashes_waiting", "Password checks queued or running.", registry=REGISTRY
)
LIMITED = Counter(
    "gateway_limited", "Requests refused by a rate limit.", ["rule"], registry=REGISTRY
)
LIMITS_STORE_FAULTS = Counter(
    "gateway_limits_store_faults",
    "Times that the store of the limits could not be asked.",
    registry=REGISTRY,
)
REFUSED = Counter(
    "gateway_refused",
    "Requests refused before any service was asked.",
    ["reason"],
    registry=REGISTRY,
)
UPSTREAM_FAULTS = Counter(
    "gateway_upstream_faults",
    "Answers of a service that could not be had or used.",
    ["upstream", "kind"],
    registry=REGISTRY,
)
OPEN_STREAMS = Gauge("gateway_open_streams", "Event streams under way.", registry=REGISTRY)
AUDIT_LOST = Counter(
    "gateway_audit_lost",
    "Audit events that reached the log but not the table.",
    registry=REGISTRY,
)
