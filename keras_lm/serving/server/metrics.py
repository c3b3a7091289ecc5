"""What is counted, under the names that TensorFlow Serving has for it.

Times are in microseconds, as there; the buckets are TensorFlow Serving's.
"""

import threading
from collections.abc import Iterable

import prometheus_client
from prometheus_client.core import Metric

_PREFIX = ":tensorflow:serving:"
# Scale of 10, power of 1.8, 33 buckets: from 10 microseconds to 20 minutes.
_MICROSECONDS = tuple(round(10 * 1.8**power, 6) for power in range(32))
_SIZES = tuple(2**power for power in range(13))


class _Counts:
    """A counter whose name has no `_total` behind it, as TensorFlow Serving writes them."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...]) -> None:
        self._name, self._what, self._labels = name, what, labels
        self._values: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def add(self, *values: str) -> None:
        with self._lock:
            self._values[values] = self._values.get(values, 0) + 1

    def collect(self) -> Iterable[Metric]:
        metric = Metric(self._name, self._what, "gauge")
        with self._lock:
            for values, count in self._values.items():
                metric.add_sample(self._name, dict(zip(self._labels, values, strict=True)), count)
        yield metric


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self.request_count = _Counts(
            _PREFIX + "request_count", "Requests by their end.", ("model_name", "status")
        )
        self.registry.register(self.request_count)
        self.request_latency = prometheus_client.Histogram(
            _PREFIX + "request_latency",
            "Microseconds from the request to its answer.",
            ("model_name", "API", "entrypoint"),
            buckets=_MICROSECONDS,
            registry=self.registry,
        )
        self.runtime_latency = prometheus_client.Histogram(
            _PREFIX + "runtime_latency",
            "Microseconds of one run in TensorFlow.",
            ("model_name",),
            buckets=_MICROSECONDS,
            registry=self.registry,
        )
        self.queuing_latency = prometheus_client.Histogram(
            _PREFIX + "batching_session:queuing_latency",
            "Microseconds that a request waited for a thread.",
            ("model_name",),
            buckets=_MICROSECONDS,
            registry=self.registry,
        )
        self.batch_size = prometheus_client.Histogram(
            _PREFIX + "batching_session:processed_batch_size",
            "Rows that were run together.",
            ("model_name",),
            buckets=_SIZES,
            registry=self.registry,
        )
        self.refused = prometheus_client.Counter(
            _PREFIX + "batching_session:refused",
            "Requests that found a full queue.",
            ("model_name",),
            registry=self.registry,
        )
        self.in_flight = prometheus_client.Gauge(
            _PREFIX + "requests_in_flight",
            "Requests that have no answer yet.",
            registry=self.registry,
        )
        self.versions = prometheus_client.Gauge(
            _PREFIX + "versions_available",
            "Versions that answer.",
            ("model_name",),
            registry=self.registry,
        )

    def page(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return prometheus_client.generate_latest(self.registry)


prometheus_client.disable_created_metrics()
