"""What is counted of generation; beside what TensorFlow Serving counts, which has no such thing."""

import prometheus_client

_PREFIX = ":keras_lm:generation:"
_SECONDS = tuple(0.01 * 1.8**power for power in range(20))


class GenerationMetrics:
    """The counters of all engines of one server.

    Args:
        registry: where they are told.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        label = ("model_name",)
        self.running = prometheus_client.Gauge(
            _PREFIX + "running_rows", "Rows that are being continued.", label, registry=registry
        )
        self.waiting = prometheus_client.Gauge(
            _PREFIX + "waiting_rows", "Rows that wait for a slot.", label, registry=registry
        )
        self.tokens = prometheus_client.Counter(
            _PREFIX + "tokens", "Tokens that were made.", label, registry=registry
        )
        self.refused = prometheus_client.Counter(
            _PREFIX + "refused", "Requests that found a full queue.", label, registry=registry
        )
        self.cancelled = prometheus_client.Counter(
            _PREFIX + "cancelled",
            "Rows that were given up: their client went, or has the text that it wants.",
            label,
            registry=registry,
        )
        self.first_token = prometheus_client.Histogram(
            _PREFIX + "first_token_seconds",
            "Seconds from a row's request to its first token.",
            label,
            buckets=_SECONDS,
            registry=registry,
        )
        self.chunk_rows = prometheus_client.Histogram(
            _PREFIX + "chunk_rows",
            "Rows that a chunk continued together.",
            label,
            buckets=tuple(2**power for power in range(9)),
            registry=registry,
        )
