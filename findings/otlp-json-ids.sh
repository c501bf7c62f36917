#!/bin/sh
# opentelemetry-proto 1.45.2 with protobuf 7.36.2: OTLP's JSON is parsed as Protobuf's JSON, and every id is wrong.
#
# OTLP/JSON looks like the JSON form of its messages, and is not: there traceId and spanId are in
# hexadecimal, where Protobuf has bytes in base64. Hexadecimal digits happen to be base64, too. So the
# parser of the Protobuf library, with OpenTelemetry's own message, takes a valid file without a word;
# ids have 24 and 12 bytes then, not 16 and 8, and what is sent on belongs to no trace. Written as JSON
# again they look right, so a comparison of both files finds nothing; but kind is then a name, which
# OTLP/JSON forbids.
#
# Seen: trace id e5bf1e7d... of 24 bytes, span id of 12; the same 32 digits in what is written again.
. "$(dirname "$0")/lib.sh"
pypi opentelemetry-proto==1.45.2 protobuf==7.36.2
out=$("$python" - <<'PYTHON'
import json

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

span = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "run",
    "kind": 2,
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": "1544712661000000000",
}
data = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
message = json_format.Parse(json.dumps(data), TracesData())
parsed = message.resource_spans[0].scope_spans[0].spans[0]
print(len(parsed.trace_id), parsed.trace_id.hex()[:8], len(parsed.span_id))
again = json.loads(json_format.MessageToJson(message))
written = again["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
print(all(written[name] == span[name] for name in ("traceId", "spanId")), written["kind"])
PYTHON
)
expect "bytes of a trace id, its first, bytes of a span id" "$(echo "$out" | sed -n 1p)" \
    "24 e5bf1e7d 12"
expect "as JSON again: ids as they were, kind" "$(echo "$out" | sed -n 2p)" "True SPAN_KIND_SERVER"
finish
