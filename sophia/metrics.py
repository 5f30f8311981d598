"""The platform's metrics. Label values are few and known in advance."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter, read by nobody

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

# An edge on every threshold an objective has, so that objectives are counts and nothing is interpolated.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)

REQUESTS = Counter(
    "sophia_requests",
    "Requests answered.",
    ("service", "route", "method", "status_class", "release", "region"),
    registry=REGISTRY,
)
DURATION = Histogram(
    "sophia_request_duration_seconds",
    "Time to answer a request.",
    ("service", "route", "method", "status_class", "release", "region", "level"),
    buckets=EDGES,
    registry=REGISTRY,
)
CONSENSUS = Counter("sophia_consensus", "Votes of the swarm by result.", ("result",), registry=REGISTRY)
CONSENSUS_CORRECT = Counter(
    "sophia_consensus_correct", "Answers to known-answer questions.", ("result",), registry=REGISTRY
)
COST = Counter("sophia_cost_usd", "What model calls cost.", registry=REGISTRY)
API_CALLS = Counter("sophia_api_calls", "Calls of users that were answered.", registry=REGISTRY)
LEVEL = Gauge("sophia_degradation_level", "1 full, 2 CPU swarm, 3 cached embeddings, 4 emergency.", registry=REGISTRY)
BREAKER = Gauge("sophia_breaker_state", "0 closed, 1 half-open, 2 open.", ("name",), registry=REGISTRY)
SWARM_QUEUE = Gauge("sophia_swarm_queue", "Votes of the swarm under way.", registry=REGISTRY)
DB_POOL = Gauge("sophia_db_pool_in_use", "Database connections in use.", registry=REGISTRY)
