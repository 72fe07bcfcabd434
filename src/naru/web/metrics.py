"""What Prometheus reads. One registry a server, no module-level state."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._requests = Counter(
            "naru_http_requests", "Answered requests.", ("kind", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "naru_http_request_seconds",
            "Time from a request's head to its answer's last byte handed to the server.",
            ("kind",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._sent = Counter("naru_http_sent_bytes", "Bytes of answers' bodies.", ("kind",), registry=self._registry)
        self.active = Gauge("naru_http_requests_active", "Requests being answered.", registry=self._registry)
        self.dropped_log_lines = Gauge(
            "naru_access_log_dropped_lines", "Access log lines dropped since the start.", registry=self._registry
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram, Counter]] = {}

    def answered(self, kind: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Count a request. ``kind`` and ``method`` come from closed sets, so that no client can grow the table."""
        found = self._children.get((kind, method, status))
        if found is None:
            found = (
                self._requests.labels(kind, method, str(status)),
                self._seconds.labels(kind),
                self._sent.labels(kind),
            )
            self._children[kind, method, status] = found
        requests, duration, sent_bytes = found
        requests.inc()
        duration.observe(seconds)
        sent_bytes.inc(sent)

    def render(self) -> bytes:
        return generate_latest(self._registry)
