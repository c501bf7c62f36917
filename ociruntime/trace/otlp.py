"""A trace as OTLP JSON (opentelemetry-proto, "JSON Protobuf Encoding"), for OpenTelemetry.

One trace of one resource: the command is the root, every other span lies in the innermost one that
was open in the same process when it began, or in the root.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ociruntime.errors import OciError

SERVICE = "ociruntime"
INTERNAL, ERROR = 1, 2  # SpanKind, StatusCode
MICROSECOND = 1000


def convert(path: str) -> str:
    """The spans of the file that --trace has written. Raises ``OciError``."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise OciError(f"trace: {path}: {error.strerror}") from None
    try:
        document = json.loads(raw)
        epoch = int(document["otherData"]["epochNanoseconds"])
        spans = _spans(document, epoch, hashlib.sha256(raw).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OciError(
            f"trace: {path}: not a trace; `ociruntime --trace FILE COMMAND ...` writes one"
        ) from None
    version = str(document["otherData"]["version"])
    attributes = [
        _attribute("service.name", SERVICE),
        _attribute("service.version", version),
        _attribute("process.command_args", document["otherData"]["arguments"]),
    ]
    scope = {"scope": {"name": SERVICE, "version": version}, "spans": spans}
    resource = {"resource": {"attributes": attributes}, "scopeSpans": [scope]}
    return json.dumps({"resourceSpans": [resource]}, indent=1) + "\n"


def _spans(document: dict[str, Any], epoch: int, digest: str) -> list[dict[str, Any]]:
    """All spans, by their beginnings; the ids come from the file, so they are the same again."""
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    tracks = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in document["traceEvents"]
        if event["ph"] == "M"
    }
    events.sort(key=lambda event: (event["ts"], -event["dur"]))
    trace_id = digest[:32]
    root = f"ociruntime {document['otherData']['command']}"
    open_: dict[tuple[int, int], list[tuple[float, str]]] = {}
    ids = [f"{int(digest[32:48], 16) + number:016x}"[-16:] for number in range(len(events))]
    top = next(ids[i] for i, event in enumerate(events) if event["name"] == root)
    found = []
    for event, span_id in zip(events, ids, strict=True):
        end = event["ts"] + event["dur"]
        around = open_.setdefault((event["pid"], event["tid"]), [])
        while around and around[-1][0] < end:
            around.pop()
        parent = around[-1][1] if around else top
        around.append((end, span_id))
        found.append(_span(event, epoch, tracks[event["pid"], event["tid"]]))
        found[-1].update(traceId=trace_id, spanId=span_id)
        if span_id != top:
            found[-1]["parentSpanId"] = parent
    return found


def _span(event: dict[str, Any], epoch: int, track: str) -> dict[str, Any]:
    begin = epoch + round(event["ts"] * MICROSECOND)
    arguments = event["args"]
    span: dict[str, Any] = {
        "name": event["name"],
        "kind": INTERNAL,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + round(event["dur"] * MICROSECOND)),
        "attributes": [
            _attribute("thread.name", track),
            _attribute("process.pid", event["pid"]),
            *(
                _attribute(f"ociruntime.{name}", value)
                for name, value in arguments.items()
                if name != "error" and value
            ),
        ],
    }
    if "error" in arguments:
        span["status"] = {"code": ERROR, "message": arguments["error"]}
    return span


def _attribute(key: str, value: object) -> dict[str, Any]:
    if isinstance(value, list):
        entries = [{"stringValue": str(entry)} for entry in value]
        return {"key": key, "value": {"arrayValue": {"values": entries}}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": str(value)}}
