"""Steps as OpenTelemetry spans: with the SDK's exporter in memory, and over HTTP to a collector on this machine."""

from __future__ import annotations

import builtins
import gzip
import http.server
import subprocess
import sys
import threading
import uuid

import pytest

from lite_common import config, context, errors, telemetry, trace

REQUEST = "req-8c9f1c52-40f5-4b6d-8f5e-0d8f4d1c2b3a"
OTHER = "req-00000000-0000-4000-8000-000000000001"


def test_the_trace_is_the_request():
    assert telemetry.trace_id(REQUEST) == uuid.UUID(REQUEST[4:]).int
    assert telemetry.trace_id("req-mine") == telemetry.trace_id("req-mine") != telemetry.trace_id("req-yours")
    assert 0 < telemetry.trace_id("req-mine") < 2**128
    assert telemetry.trace_id("req-00000000-0000-0000-0000-000000000000") != 0


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_the_usual_path_is_added(endpoint, url):
    assert telemetry.url(endpoint) == url


def test_packages_that_are_missing_are_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    part = telemetry.Export("nova-api", "h1", "http://127.0.0.1:4318/v1/traces")
    with pytest.raises(errors.Invalid, match=r"opentelemetry.* is not installed. Install the extra `otel`"):
        part.start()
    part.stop(1)


@pytest.mark.parametrize("daemon", ["nova_lite.cmd.api", "cinder_lite.cmd.volume"])
def test_a_daemon_that_exports_nothing_loads_nothing_for_it(daemon):
    program = f"import sys, {daemon}; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


def test_the_option_makes_the_part_and_nothing_else_does():
    conf = config.load("nova-lite", "nova-lite-api", [], [], logs=False)
    assert telemetry.parts(conf, "nova-api") == []
    conf.set_override("otlp_endpoint", "http://127.0.0.1:4318", group="trace")
    (part,) = telemetry.parts(conf, "nova-api")
    assert isinstance(part, telemetry.Export)


@pytest.fixture
def exported():
    """A function that starts a daemon's export and returns where its spans end up; all are stopped at the end."""
    pytest.importorskip("opentelemetry.sdk", reason="spans need the packages of the extra `otel`")
    from opentelemetry.sdk.trace.export import in_memory_span_exporter

    started = []

    def start(name="nova-compute"):
        exporter = in_memory_span_exporter.InMemorySpanExporter()
        part = telemetry.Export(name, "h1", "memory", exporter)
        part.start()
        started.append(part)
        return lambda: (part.stop(5), exporter.get_finished_spans())[1]

    yield start
    for part in started:
        part.stop(5)


def by_name(spans):
    return {span.name: span for span in spans}


def test_steps_become_spans_of_the_requests_trace(exported):
    finished = exported()
    context.RequestContext(global_request_id=REQUEST)
    with trace.step("attachment_update", volume="v1", attachment=None), trace.step("create_export", volume="v1"):
        pass
    spans = by_name(finished())
    outer, inner = spans["attachment_update"], spans["create_export"]
    assert outer.context.trace_id == inner.context.trace_id == telemetry.trace_id(REQUEST)
    assert outer.parent is None
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes) == {"nlite.volume": "v1", "nlite.request_id": REQUEST}
    assert (outer.resource.attributes["service.name"], outer.resource.attributes["host.name"]) == ("nova-compute", "h1")
    assert outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time
    assert outer.status.is_ok


def test_daemons_share_a_trace_without_knowing_of_each_other(exported):
    ends = []
    for name in ("nova-api", "cinder-api"):
        finished = exported(name)
        context.RequestContext(global_request_id=REQUEST if name == "cinder-api" else None, request_id=REQUEST)
        with trace.step(f"work_of_{name}"):
            pass
        ends.append(finished())
    (one,), (two,) = ends
    assert one.context.trace_id == two.context.trace_id
    assert one.context.span_id != two.context.span_id


def test_requests_have_their_own_traces(exported):
    finished = exported()
    for request in (REQUEST, OTHER):
        context.RequestContext(request_id=request)
        with trace.step("check_server"):
            pass
    assert [span.context.trace_id for span in finished()] == [telemetry.trace_id(REQUEST), telemetry.trace_id(OTHER)]


def test_errors_are_told_in_our_words_only(exported):
    finished = exported()
    context.RequestContext(request_id=REQUEST)
    for error in (errors.Conflict("volume v1 is busy; wait."), ValueError("password=hunter2")):
        with pytest.raises(type(error)), trace.step(type(error).__name__):
            raise error
    spans = by_name(finished())
    told = spans["Conflict"]
    assert (told.status.description, told.attributes["error.type"]) == ("volume v1 is busy; wait.", "Conflict")
    foreign = spans["ValueError"]
    assert (foreign.status.description, foreign.attributes["error.type"]) == ("ValueError", "ValueError")
    assert not foreign.events
    assert "hunter2" not in foreign.to_json()


def test_nothing_is_observed_after_the_end(exported):
    finished = exported()
    finished()
    with trace.step("late"):
        pass
    assert finished() == ()


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does, and keeps the requests."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.taken.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """Keep the tests' output quiet."""


def test_spans_arrive_at_a_collector():
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="spans need the packages of the extra `otel`")
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    collector = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    collector.taken = []
    thread = threading.Thread(target=collector.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        part = telemetry.Export("cinder-volume", "h2", telemetry.url(f"http://127.0.0.1:{collector.server_port}"))
        part.start()
        context.RequestContext(request_id=REQUEST)
        with trace.step("remove_export", volume="v1"):
            pass
        part.stop(5)
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join(5)
    ((path, kind, body),) = collector.taken
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    (resource,) = trace_service_pb2.ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = resource.scope_spans[0].spans
    assert span.name == "remove_export"
    assert span.trace_id == uuid.UUID(REQUEST[4:]).bytes
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "cinder-volume"


def test_a_collector_that_is_away_delays_neither_work_nor_end():
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="spans need the packages of the extra `otel`")
    part = telemetry.Export("cinder-volume", "h2", "http://127.0.0.1:9/v1/traces")
    part.start()
    with trace.step("remove_export"):
        pass
    part.stop(0.5)
