"""The steps of `lite_common.trace` as OpenTelemetry spans, sent by OTLP over HTTP, where `[trace] otlp_endpoint` asks.

The trace's id is the id of the request, so the spans of all daemons make one trace without anything being passed along
beside that id; a span's parent is the step around it in its own process. The packages come with the extra `otel` and
are imported only when there is an endpoint. Sending is a thread's work: a collector that is away costs spans, never
the work that they tell of.
"""

from __future__ import annotations

import contextvars
import hashlib
import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib import parse

from oslo_config import cfg
from oslo_context import context as oslo_context

from lite_common import errors, service, trace

if TYPE_CHECKING:
    from opentelemetry import trace as tracing
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace import export, id_generator

LOG = logging.getLogger(__name__)

EXTRA = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
# Milliseconds that the exporter waits before it sends what has come together.
DELAY = 1000
TIMEOUT = 5.0
_REQUEST = re.compile(r"req-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE)
_TRACE_ID: contextvars.ContextVar[int] = contextvars.ContextVar("trace_id", default=0)


def trace_id(request_id: str) -> int:
    """The trace that spans of the request belong to: the UUID in a request id, a digest of any other text."""
    known = _REQUEST.fullmatch(request_id)
    number = int(known[1].replace("-", ""), 16) if known else 0
    return number or int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:16], "big")


class Spans:
    """The observer: opens a span when a step begins, and closes it when the step ends."""

    def __init__(self, tracer: tracing.Tracer) -> None:
        from opentelemetry import trace as api

        self._api = api
        self._tracer = tracer
        # Where several daemons share a process, each tells what threads do in its name.
        self._daemon = service.current()
        self._open: dict[int, Any] = {}

    def begin(self, step: trace.Step) -> None:
        """Open its span, in the trace of the request that is current now."""
        daemon = service.current()
        if daemon is not None and daemon is not self._daemon:
            return
        ctx = oslo_context.get_current()
        request = (ctx.global_request_id or ctx.request_id) if ctx is not None else None
        attributes = {f"nlite.{name}": value for name, value in step.ids.items()}
        if request:
            attributes["nlite.request_id"] = request
        token = _TRACE_ID.set(trace_id(request) if request else 0)
        try:
            around = self._open.get(step.parent) if step.parent is not None else None
            # An empty context, so that no library's own span becomes the parent.
            context = self._api.set_span_in_context(around or self._api.INVALID_SPAN)
            self._open[step.number] = self._tracer.start_span(
                step.name, context=context, attributes=attributes, start_time=int(step.began * 1e9)
            )
        finally:
            _TRACE_ID.reset(token)

    def end(self, step: trace.Step) -> None:
        """Close its span, with the error in words if there was one."""
        span = self._open.pop(step.number, None)
        if span is None:
            return
        if step.error is not None:
            kind, words = _told(step.error)
            span.set_attribute("error.type", kind)
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, words or kind))
        span.end(int((step.began + (step.seconds or 0.0)) * 1e9))


class Export:
    """A part of a daemon: its steps are sent as spans from start to stop.

    `name` becomes `service.name`. `exporter` takes the place of the one that sends to `endpoint`.
    """

    def __init__(self, name: str, host: str, endpoint: str, exporter: export.SpanExporter | None = None) -> None:
        self._resource = {"service.name": name, "service.namespace": "nova-lite", "host.name": host}
        self._endpoint = endpoint
        self._exporter = exporter
        self._provider: sdk.TracerProvider | None = None
        self._observer: Spans | None = None

    def start(self) -> None:
        """Begin to send. Raises errors.Invalid when the packages for it are not installed."""
        try:
            from opentelemetry.sdk import resources
            from opentelemetry.sdk import trace as sdk
            from opentelemetry.sdk.trace import export
        except ImportError as err:
            raise errors.Invalid(
                f"The option [trace] otlp_endpoint is set, and {err.name} is not installed. Install the extra `otel` "
                f"({EXTRA}), or unset the option."
            ) from err
        resource = resources.Resource.create(self._resource | {"service.instance.id": f"{os.getpid()}"})
        self._provider = sdk.TracerProvider(resource=resource, id_generator=_request_ids(), shutdown_on_exit=False)
        exporter = self._exporter or _http_exporter(self._endpoint)
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter, schedule_delay_millis=DELAY))
        self._observer = Spans(self._provider.get_tracer("nova-lite"))
        trace.observe(self._observer)
        LOG.info("steps are sent as spans to %s", self._endpoint)

    def stop(self, timeout: float) -> None:
        """Send what is left, if the collector takes it in time."""
        if self._observer is None or self._provider is None:
            return
        trace.ignore(self._observer)
        # The SDK's own limit on the last sending is longer than a daemon may take for its end.
        ending = threading.Thread(target=self._provider.shutdown, name="telemetry-end", daemon=True)
        ending.start()
        ending.join(min(timeout, TIMEOUT))
        self._observer = self._provider = None


def parts(conf: cfg.ConfigOpts, name: str) -> list[service.Part]:
    """What the daemon that is called `name` runs for `[trace] otlp_endpoint`: nothing where the option is not set."""
    endpoint = conf.trace.otlp_endpoint
    return [Export(name, conf.host, url(endpoint))] if endpoint else []


def url(endpoint: str) -> str:
    """Where spans are sent: the endpoint, with OTLP's usual path where it names none."""
    told = parse.urlsplit(endpoint)
    return endpoint if told.path.strip("/") else parse.urlunsplit(told._replace(path="/v1/traces"))


def _told(error: BaseException) -> tuple[str, str]:
    """The kind of an error, and the error in words where these are our own: only they are known to hold no secret."""
    kind = type(error).__name__.removesuffix("_Remote")
    return kind, error.message if isinstance(error, errors.LiteError) else ""


def _http_exporter(endpoint: str) -> export.SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT)


def _request_ids() -> id_generator.IdGenerator:
    from opentelemetry.sdk.trace import id_generator

    class RequestIds(id_generator.RandomIdGenerator):
        """Traces have the id of the request that is being worked on."""

        def generate_trace_id(self) -> int:
            return _TRACE_ID.get() or super().generate_trace_id()

        def is_trace_id_random(self) -> bool:
            return False

    return RequestIds()
