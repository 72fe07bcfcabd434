"""What Prometheus reads. One registry a server, no module-level state."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from naru.core.errors import NaruError
from naru.core.jobs import Figures
from naru.core.webhooks import Figures as Deliveries

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class _Series:
    """The numbers of one kind of request or job, plain: counting happens at each request, reading once a scrape."""

    __slots__ = ("buckets", "count", "seconds", "sent")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.sent = 0
        self.buckets = [0] * (len(_BUCKETS) + 1)

    def sums(self) -> list[tuple[str, float]]:
        """Each bucket's bound, and how many were at most that."""
        return list(zip((*map(str, _BUCKETS), "+Inf"), accumulate(self.buckets), strict=True))


class Metrics(Collector):
    """``active`` and ``dropped`` tell, when asked, how many requests run and how many access log lines were dropped;
    ``jobs``, ``webhooks`` and ``reclaimable`` (blobs and bytes; None: nobody looked yet), how queues and the store
    stand."""

    def __init__(
        self,
        *,
        active: Callable[[], int],
        dropped: Callable[[], int],
        jobs: Callable[[], Awaitable[Figures]],
        reclaimable: Callable[[], tuple[int, int] | None],
        webhooks: Callable[[], Awaitable[Deliveries]],
    ) -> None:
        self._active = active
        self._dropped = dropped
        self._jobs = jobs
        self._reclaimable = reclaimable
        self._webhooks = webhooks
        self._figures = Figures({}, {})
        self._deliveries: Deliveries | None = None
        self._job_series: dict[tuple[str, str], _Series] = {}
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

    def job_ended(self, kind: str, outcome: str, seconds: float) -> None:
        """Count an attempt of a background job. Both names come from closed sets."""
        series = self._job_series.get((kind, outcome))
        if series is None:
            series = self._job_series[kind, outcome] = _Series()
        series.count += 1
        series.seconds += seconds
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
            seconds.add_metric(values, series.sums(), series.seconds)
            sent.add_metric(values, series.sent)
        yield seconds
        yield sent
        yield GaugeMetricFamily("naru_http_requests_active", "Requests being answered.", self._active())
        yield CounterMetricFamily(
            "naru_access_log_dropped_lines", "Access log lines that were dropped.", self._dropped()
        )

        yield from self._of_jobs()
        if self._deliveries is not None:
            yield from _of_webhooks(self._deliveries)

    def _of_jobs(self) -> Iterable[Metric]:
        seconds = HistogramMetricFamily(
            "naru_job_seconds",
            "Time that an attempt of a background job took; outcome Error is for good, Retry will be tried again.",
            labels=("kind", "outcome"),
        )
        for names, series in list(self._job_series.items()):
            seconds.add_metric(names, series.sums(), series.seconds)
        yield seconds
        tasks = GaugeMetricFamily("naru_job_tasks", "Tasks that have not ended.", labels=("kind", "status"))
        for names, count in self._figures.waiting.items():
            tasks.add_metric(names, count)
        yield tasks
        oldest = GaugeMetricFamily(
            "naru_job_oldest_seconds", "How long the oldest task that could run has waited.", labels=("kind",)
        )
        for kind, waited in self._figures.oldest_seconds.items():
            oldest.add_metric((kind,), waited)
        yield oldest
        freeable = self._reclaimable()
        if freeable is not None:
            yield GaugeMetricFamily("naru_reclaimable_blobs", "Blobs that collection would free now.", freeable[0])
            yield GaugeMetricFamily("naru_reclaimable_bytes", "Their bytes.", freeable[1])

    async def render(self) -> bytes:
        """The page. What the database does not tell now is shown as it was told last."""
        with suppress(NaruError):
            self._figures = await self._jobs()
            self._deliveries = await self._webhooks()
        return generate_latest(self._registry)


def _of_webhooks(found: Deliveries) -> Iterable[Metric]:
    tries = CounterMetricFamily(
        "naru_webhook_tries", "Tries of webhook deliveries, by what came of them.", labels=("outcome",)
    )
    for outcome, count in found.tried.items():
        tries.add_metric((outcome.value,), count)
    yield tries
    yield GaugeMetricFamily("naru_webhook_new_events", "Events that are not given to their targets yet.", found.new)
    yield GaugeMetricFamily("naru_webhook_waiting_deliveries", "Deliveries still to be made.", found.waiting)
    yield GaugeMetricFamily(
        "naru_webhook_oldest_seconds",
        "Age of the oldest event that a target which is not switched off has not heard of.",
        found.oldest_seconds or 0.0,
    )
    yield GaugeMetricFamily(
        "naru_webhook_suspended_targets", "Targets that failed for too long and were switched off.", found.suspended
    )
