"""Figures for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from footage.export import FORMATS
from footage.places import TRAFFIC

if TYPE_CHECKING:
    from footage.api.service import Service
    from footage.pipeline import Stages


class Metrics:
    """Counters of one server; a registry of its own, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "footage_requests", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "footage_request_seconds",
            "Time to the first byte of the answer",
            ("route",),
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.running = Gauge("footage_requests_running", "Requests at work", registry=self.registry)

    def watch(self, service: Service) -> None:
        """Add the figures that are read when they are asked for."""
        for gate in (service.searches, service.decodes, service.copying, service.exporting, service.reads):
            Gauge(
                f"footage_{gate.name}_inside", f"{gate.name}: at work or waiting", registry=self.registry
            ).set_function(lambda g=gate: g.inside)
            Gauge(
                f"footage_{gate.name}_refused", f"{gate.name}: refused with 429", registry=self.registry
            ).set_function(lambda g=gate: g.refused)
        Gauge("footage_rendition_bytes", "Renditions on disk", registry=self.registry).set_function(
            lambda: service.renditions.size_bytes
        )
        Gauge("footage_renditions_built", "Renditions made", registry=self.registry).set_function(
            lambda: service.renditions.builds
        )
        Gauge("footage_renditions_reused", "Renditions found made", registry=self.registry).set_function(
            lambda: service.renditions.hits
        )
        Gauge("footage_jobs_open", "Indexing jobs queued or running", registry=self.registry).set_function(
            lambda: service.jobs.open
        )
        Gauge("footage_videos", "Videos in the library", registry=self.registry).set_function(
            lambda: len(service.library.videos()) if service.library.stamp else 0
        )

        self.registry.register(_Stages(service))

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


class _Stages(Collector):
    """Where the time goes: searches, indexing, and services that hold videos. Counted where it is spent."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _seconds(self, name: str, what: str, stages: Stages, names: Sequence[str], label: str = "stage") -> Metric:
        out = CounterMetricFamily(name, what, labels=[label])
        spent = stages.spent()
        for each in names:
            out.add_metric([each], spent.get(each, (0, 0.0))[1])
        return out

    def collect(self) -> Iterator[Metric]:
        """Read the counters of this process."""
        service = self._service
        passages = CounterMetricFamily("footage_search_stage", "Passages through a stage of search", labels=["stage"])
        seconds = CounterMetricFamily(
            "footage_search_stage_seconds",
            "encode: the query; videos, candidates: the store; closer: scores of all samples of the candidates",
            labels=["stage"],
        )
        spent = service.library.stages.spent()
        for stage in ("encode", "videos", "candidates", "closer"):
            count, took = spent.get(stage, (0, 0.0))
            passages.add_metric([stage], count)
            seconds.add_metric([stage], took)
        yield from (passages, seconds)
        yield self._seconds(
            "footage_copies_stage_seconds",
            "decode: the clip; encode: its pictures; candidates: the store; geometry: where a video's picture lies in "
            "it; verify: which seconds are which",
            service.library.copy_stages,
            ("decode", "encode", "candidates", "geometry", "verify"),
        )
        made = tuple(name for name, row in FORMATS.items() if row.kind != "list")
        yield self._seconds("footage_export_seconds", "Making clips and pictures", service.exports, made, "format")
        busy = service.jobs.spent()
        index = CounterMetricFamily(
            "footage_index_stage_seconds",
            "decode: reading, decoding and sampling; encode: the models; write: store and key frames",
            labels=["stage"],
        )
        for stage in ("decode", "encode", "write"):
            index.add_metric([stage], busy[stage])
        yield index
        yield CounterMetricFamily("footage_index_video_seconds", "Seconds of video indexed", busy["video"])
        yield CounterMetricFamily("footage_remote_requests", "Requests for what lies behind URLs", TRAFFIC.requests)
        yield CounterMetricFamily("footage_remote_failures", "Of these, tries that failed", TRAFFIC.failures)
        yield CounterMetricFamily("footage_remote_bytes", "Bytes of what lies behind URLs", TRAFFIC.bytes)
        yield CounterMetricFamily("footage_remote_seconds", "Seconds waited for them", TRAFFIC.seconds)


class Measured:
    """ASGI middleware that counts; the route's pattern is the label, not the address, so that labels stay few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self.metrics.seconds.labels(_route(scope)).observe(time.monotonic() - started)
            await send(message)

        self.metrics.running.inc()
        try:
            await self.app(scope, receive, sending)
        finally:
            self.metrics.running.dec()
            self.metrics.requests.labels(_route(scope), _method(scope), str(status)).inc()


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS") else "?"


def _route(scope: Scope) -> str:
    """The pattern of the address; what matches no route is one label, or strangers could make up any number."""
    if "route" not in scope:
        return "other"
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in str(scope["path"]).split("/"))
