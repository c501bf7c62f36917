#!/bin/sh
# protobuf 5.29.5: Any.Unpack() takes no message of containerd, although TypeName() says what it is.
#
# containerd names the type of an Any by the message's name alone, without a host and a slash
# before it. Python's protobuf reads the name out of that (TypeName), and its JSON form finds the
# message by it, but Is() and Unpack() want the slash: they say False, and the message stays empty.
# Nothing is raised, so a client that does not look at the result goes on with defaults.
#
# Seen: TypeName google.protobuf.Timestamp, Is False, Unpack False, 0 seconds of 5; JSON has the 5.
. "$(dirname "$0")/lib.sh"
pypi protobuf==5.29.5
out=$("$python" - <<'PYTHON'
from google.protobuf import any_pb2, json_format, timestamp_pb2

sent = timestamp_pb2.Timestamp(seconds=5)
packed = any_pb2.Any(type_url="google.protobuf.Timestamp", value=sent.SerializeToString())
got = timestamp_pb2.Timestamp()
print(packed.TypeName(), packed.Is(got.DESCRIPTOR), packed.Unpack(got), got.seconds,
      "00:00:05" in json_format.MessageToJson(packed))
packed.type_url = "/" + packed.type_url
print(packed.Unpack(got), got.seconds)
PYTHON
)
expect "without a slash" "$(echo "$out" | sed -n 1p)" "google.protobuf.Timestamp False False 0 True"
expect "with one" "$(echo "$out" | sed -n 2p)" "True 5"
finish
