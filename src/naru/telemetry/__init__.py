"""Traces and metrics by OpenTelemetry. Loaded only where the setting ``telemetry`` is on: nothing else knows of it.

What is watched is wrapped from outside, when the application is put together, so that there is no cost where it is off.
Spans hold routes, names of registries and images, statuses and request ids; no query, header, body or credential.
Where the data goes is said by the standard ``OTEL_*`` variables.

Source: OpenTelemetry's semantic conventions of HTTP; W3C Trace Context.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from naru import __version__
from naru.core.errors import NaruError
from naru.telemetry.requests import QUIET, describe
from naru.web.http import Request

log = logging.getLogger(__name__)

#: The same as those of ``/metrics``, in seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
#: How long the last spans and numbers may take to leave when the server stops.
CLOSE_SECONDS = 10.0

Handle = Callable[[Request], Awaitable[str]]


class Telemetry:
    """One for a process. ``from_proxy`` tells whether a request's ``traceparent`` is to be believed."""

    def __init__(
        self,
        *,
        from_proxy: Callable[[Request], bool],
        active: Callable[[], int],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._from_proxy = from_proxy
        self._parents = TraceContextTextMapPropagator()
        own = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "naru"}
        resource = Resource.create({**own, SERVICE_VERSION: __version__})
        self._traces = TracerProvider(resource=resource)
        if environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._meters = MeterProvider(
            metric_readers=_readers(environ),
            resource=resource,
            views=[View(instrument_unit="s", aggregation=ExplicitBucketHistogramAggregation(BUCKETS))],
        )
        self._tracer = self._traces.get_tracer("naru", __version__)
        meter = self._meters.get_meter("naru", __version__)
        self._requests = meter.create_histogram(
            "http.server.request.duration", "s", "Time from a request's routing until its answer was handed over."
        )
        self._sent = meter.create_counter("naru.http.sent", "By", "Bytes of answers' bodies.")
        self._operations = meter.create_histogram(
            "naru.operation.duration", "s", "Time of an operation on the database or the blob store."
        )
        self._jobs = meter.create_histogram("naru.job.duration", "s", "Time of an attempt of a background job.")

        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            yield Observation(active())

        meter.create_observable_up_down_counter(
            "http.server.active_requests", [observe], "{request}", "Requests being answered."
        )
        for handler in logging.getLogger().handlers:
            handler.addFilter(_with_trace)

    async def aclose(self) -> None:
        """Send what is left; give up after ``CLOSE_SECONDS``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.to_thread(self._traces.shutdown)
                await asyncio.to_thread(self._meters.shutdown)
        for handler in logging.getLogger().handlers:
            handler.removeFilter(_with_trace)

    # What is wrapped.

    def requests(self, handle: Handle) -> Handle:
        """``handle`` with a span for each request, and its trace's id for the log lines."""

        async def traced(request: Request) -> str:
            if request.path in QUIET:
                return await handle(request)
            began, kind, status = time.perf_counter(), "refused", 500
            name, attributes = describe(request)
            with self._span(name, SpanKind.SERVER, attributes, self._parent(request)) as span:
                identity = span.get_span_context()
                request.trace_id = trace.format_trace_id(identity.trace_id)
                try:
                    kind = await handle(request)
                    status = request.status
                except NaruError as error:
                    status = error.status
                    raise
                finally:
                    route = str(attributes["http.route"])
                    self._answered(span, request, status, kind, route, time.perf_counter() - began)
            return kind

        return traced

    def _parent(self, request: Request) -> contexts.Context | None:
        """The trace that the request belongs to already, if a trusted proxy says so: others could flood us with it."""
        if b"traceparent" not in request.headers or not self._from_proxy(request):
            return None
        carrier = {
            "traceparent": request.header(b"traceparent") or "",
            "tracestate": request.header(b"tracestate") or "",
        }
        return self._parents.extract(carrier)

    def _answered(self, span: Span, request: Request, status: int, kind: str, route: str, seconds: float) -> None:
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("naru.kind", kind)
        span.set_attribute("http.response.body.size", request.sent_bytes)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        labels: dict[str, str | int] = {
            "http.request.method": request.method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self._requests.record(seconds, labels)
        self._sent.add(request.sent_bytes, labels)

    def job(self, kind: str, handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """The handler of a kind of job, with a span for each attempt."""

        async def traced(*arguments: Any) -> None:
            began = time.perf_counter()
            try:
                with self._span(f"job {kind}", SpanKind.CONSUMER, {"naru.job.kind": kind}):
                    await handler(*arguments)
            finally:
                self._jobs.record(time.perf_counter() - began, {"naru.job.kind": kind})

        return traced

    def watch(self, thing: object, what: str, names: Iterable[str] | None = None) -> None:
        """Wrap the asynchronous methods of ``thing`` (those in ``names``; None: all public ones) in spans."""
        chosen = set(names) if names is not None else None
        for name, member in inspect.getmembers(type(thing), callable):
            if (
                name.startswith("_")
                or name in {"start", "aclose", "close"}
                or (chosen is not None and name not in chosen)
            ):
                continue
            method = getattr(thing, name)
            if inspect.iscoroutinefunction(member):
                setattr(thing, name, self._awaited(method, what, name))
            elif inspect.isasyncgenfunction(member):
                setattr(thing, name, self._iterated(method, what, name))

    def _awaited(self, method: Callable[..., Awaitable[Any]], what: str, name: str) -> Callable[..., Awaitable[Any]]:
        async def traced(*arguments: Any, **named: Any) -> Any:
            attributes = {"naru.operation": f"{what}.{name}", **_function(arguments)}
            with self._timed(what, name), self._span(f"{what} {name}", SpanKind.INTERNAL, attributes):
                return await method(*arguments, **named)

        return traced

    def _iterated(
        self, method: Callable[..., AsyncIterator[Any]], what: str, name: str
    ) -> Callable[..., AsyncIterator[Any]]:
        """The span of a stream ends with it, and is nobody's parent: the one who reads it does other things between."""

        async def traced(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            span = self._tracer.start_span(f"{what} {name}", attributes={"naru.operation": f"{what}.{name}"})
            try:
                with self._timed(what, name):
                    async for piece in method(*arguments, **named):
                        yield piece
            except NaruError as error:
                _failed(span, error)
                raise
            finally:
                span.end()

        return traced

    @contextmanager
    def _timed(self, what: str, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._operations.record(time.perf_counter() - began, {"naru.operation": f"{what}.{name}"})

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: Mapping[str, Any], parent: contexts.Context | None = None
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                _failed(span, error)
                raise


def _readers(environ: Mapping[str, str]) -> list[MetricReader]:
    if environ.get("OTEL_METRICS_EXPORTER", "otlp") == "none":
        return []
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

    return [PeriodicExportingMetricReader(OTLPMetricExporter())]


def _failed(span: Span, error: Exception) -> None:
    """What happened, by its kind alone: a message may hold what somebody sent."""
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, NaruError) or error.status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _function(arguments: tuple[Any, ...]) -> dict[str, str]:
    """The name of the function that a transaction runs."""
    name = getattr(arguments[0], "__qualname__", None) if arguments else None
    return {"code.function.name": name} if isinstance(name, str) else {}


def _with_trace(record: logging.LogRecord) -> bool:
    """The id of the trace that a log line belongs to, as a field of the line."""
    identity = trace.get_current_span().get_span_context()
    if identity.is_valid:
        record.trace_id = trace.format_trace_id(identity.trace_id)
    return True
