"""A trace as OTLP JSON, parsed as OpenTelemetry's own messages."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime

service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="`make test` installs it",
)
Made = Callable[..., Bundle]
IDS = ("traceId", "spanId", "parentSpanId")


def parsed(file: Path) -> Any:
    """The request that the file is, in the words of the Protobuf runtime: OTLP has ids in hex."""
    from google.protobuf import json_format

    document = json.loads(file.read_text())
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in IDS:
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(document, service.ExportTraceServiceRequest())


def traced(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> list[Any]:
    runtime.global_options = ("--trace", str(tmp_path / "trace.json"))
    runtime.call("run", "--bundle", str(bundle.write().path), bundle.name)
    runtime.global_options = ()
    out = tmp_path / "otlp.json"
    done = runtime.call("trace", "--otlp", str(out), str(tmp_path / "trace.json")).check()
    assert done.stdout == ""
    (resource,) = parsed(out).resource_spans
    attributes = {entry.key: entry.value for entry in resource.resource.attributes}
    assert attributes["service.name"].string_value == "ociruntime"
    (scope,) = resource.scope_spans
    return list(scope.spans)


def test_spans(runtime: Runtime, bundle: Made, tmp_path: Path) -> None:
    before = time.time_ns()
    spans = traced(runtime, bundle(["/bin/true"]), tmp_path)
    after = time.time_ns()
    assert len({span.span_id for span in spans}) == len(spans) > 60
    (trace_id,) = {span.trace_id for span in spans}
    assert len(trace_id) == 16
    (root,) = [span for span in spans if not span.parent_span_id]
    assert root.name == "ociruntime run"
    slack = 50_000_000  # the clocks are read one after the other, and adjusted
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert len(span.span_id) == 8
        assert before - slack <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= after + slack
        if span.parent_span_id:
            assert span.parent_span_id in by_id
    steps = [
        {entry.key: entry.value.string_value for entry in span.attributes} for span in spans
    ]
    assert {"ociruntime", "init", "oci-init"} <= {step["thread.name"] for step in steps}
    assert any(step.get("ociruntime.pointer") == "/mounts/0" for step in steps)


def test_failures_have_a_status(runtime: Runtime, bundle: Made, tmp_path: Path) -> None:
    made = bundle(["/bin/true"])
    made.add_mount("/x", "tmpfs", "tmpfs", ["no-such-option=1"])
    spans = traced(runtime, made, tmp_path)
    failed = [span for span in spans if span.status.code == 2]
    assert any("/x" in span.name and "EINVAL" in span.status.message for span in failed) or any(
        "mount a new tmpfs on /x" in span.name for span in failed
    )
    assert any(span.name == "ociruntime run" for span in failed)


def test_other_files_are_told(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = runtime.call("trace", "--otlp", str(tmp_path / "o"), str(tmp_path / "x.json"))
    assert done.status == 1
    assert "not a trace" in done.stderr
    assert not (tmp_path / "o").exists()
