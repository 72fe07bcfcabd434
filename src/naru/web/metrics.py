"""What Prometheus reads. One registry a server, no module-level state."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class _Series:
    """The numbers of one kind of request. Plain numbers: counting happens at each request, reading once a scrape."""

    __slots__ = ("buckets", "count", "seconds", "sent")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.sent = 0
        self.buckets = [0] * (len(_BUCKETS) + 1)


class Metrics(Collector):
    """``active`` and ``dropped`` tell, when asked, how many requests run and how many access log lines were dropped."""

    def __init__(self, *, active: Callable[[], int], dropped: Callable[[], int]) -> None:
        self._active = active
        self._dropped = dropped
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def answered(self, kind: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Count a request. ``kind`` and ``method`` come from closed sets, so that no client can grow the table."""
        series = self._series.get((kind, method, status))
        if series is None:
            series = self._series[kind, method, status] = _Series()
        series.count += 1
        series.seconds += seconds
        series.sent += sent
        series.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def collect(self) -> Iterable[Metric]:
        """What Prometheus asks for; see ``prometheus_client.registry.Collector``."""
        labels = ("kind", "method", "status")
        seconds = HistogramMetricFamily(
            "naru_http_request_seconds",
            "Time from a request's head until its answer was handed to the server.",
            labels=labels,
        )
        sent = CounterMetricFamily("naru_http_sent_bytes", "Bytes of answers' bodies.", labels=labels)
        for (kind, method, status), series in list(self._series.items()):
            values = (kind, method, str(status))
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*map(str, _BUCKETS), "+Inf"), series.buckets, strict=True):
                total += count
                buckets.append((bound, total))
            seconds.add_metric(values, buckets, series.seconds)
            sent.add_metric(values, series.sent)
        yield seconds
        yield sent
        yield GaugeMetricFamily("naru_http_requests_active", "Requests being answered.", self._active())
        yield CounterMetricFamily(
            "naru_access_log_dropped_lines", "Access log lines that were dropped.", self._dropped()
        )

    def render(self) -> bytes:
        return generate_latest(self._registry)
