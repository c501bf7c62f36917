"""The codec against google.protobuf, on the very tables that the shim uses."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ociruntime import protobuf as wire
from ociruntime.protobuf import Message, WireError
from ociruntime.shim import messages, metrics

pytest.importorskip("google.protobuf", reason="no google.protobuf to compare with")
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

KINDS = {
    wire.STRING: descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    wire.BYTES: descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    wire.UINT: descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    wire.INT: descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    wire.BOOL: descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    wire.DOUBLE: descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
}
TABLES = {
    name: table
    for module in (messages, metrics)
    for name, table in vars(module).items()
    if isinstance(table, Message)
}
RANDOM = random.Random(20)
NUMBERS = (0, 1, 127, 128, 300, 2**31, 2**32 - 1, 2**63 - 1)


def text() -> str:
    return "".join(RANDOM.choice("a/ß€🐍\0") for _ in range(RANDOM.randrange(200)))


def scalar(kind: str) -> Any:
    """A random value, zero included."""
    if kind is wire.STRING:
        return text()
    if kind is wire.BYTES:
        return RANDOM.randbytes(RANDOM.randrange(200))
    if kind is wire.BOOL:
        return RANDOM.random() < 0.5
    if kind is wire.DOUBLE:
        return RANDOM.choice((0.0, -1.5, 1e300))
    numbers = (*NUMBERS, 2**64 - 1) if kind is wire.UINT else (*NUMBERS, -1, -(2**63))
    return RANDOM.choice(numbers)


class Oracle:
    """The same messages as google.protobuf knows them, built from our tables."""

    def __init__(self) -> None:
        self.file = descriptor_pb2.FileDescriptorProto(
            name="shim.proto", package="shim", syntax="proto3"
        )
        self.names: dict[int, str] = {}
        for table in TABLES.values():
            self._add(table)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self.file)
        self.classes = {
            key: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shim.{name}"))
            for key, name in self.names.items()
        }

    def _add(self, table: Message) -> str:
        if id(table) in self.names:
            return self.names[id(table)]
        name = self.names[id(table)] = f"M{len(self.names)}"
        message = descriptor_pb2.DescriptorProto(name=name)
        for field in table._fields:
            entry = message.field.add(name=field.name, number=field.number)
            entry.label = 3 if field.repeated or field.kind is wire.TEXTS else 1
            if field.kind is wire.TEXTS:
                pair = message.nested_type.add(name=f"{field.name.title()}Entry")
                pair.options.map_entry = True
                for number, part in enumerate(("key", "value"), 1):
                    pair.field.add(name=part, number=number, label=1, type=9)
                entry.type, entry.type_name = 11, f".shim.{name}.{pair.name}"
            elif isinstance(field.kind, Message):
                entry.type, entry.type_name = 11, f".shim.{self._add(field.kind)}"
            else:
                entry.type = KINDS[field.kind]
        self.file.message_type.append(message)
        return name

    def parse(self, table: Message, data: bytes) -> Any:
        return self.classes[id(table)].FromString(data)


ORACLE = Oracle()


def values(table: Message) -> dict[str, Any]:
    """Random values for a table."""
    found: dict[str, Any] = {}
    for field in table._fields:
        kind = field.kind
        if kind is wire.TEXTS:
            found[field.name] = {text(): text() for _ in range(RANDOM.randrange(3))}
        elif field.repeated:
            count = RANDOM.randrange(3)
            found[field.name] = [
                values(kind) if isinstance(kind, Message) else scalar(kind) for _ in range(count)
            ]
        elif isinstance(kind, Message):
            found[field.name] = values(kind) if RANDOM.random() < 0.7 else None
        else:
            found[field.name] = scalar(kind)
    return found


def as_values(table: Message, parsed: Any) -> dict[str, Any]:
    """What google.protobuf read, in our form."""
    found: dict[str, Any] = {}
    for field in table._fields:
        value = getattr(parsed, field.name)
        if field.kind is wire.TEXTS:
            found[field.name] = dict(value)
        elif isinstance(field.kind, Message):
            if field.repeated:
                found[field.name] = [as_values(field.kind, one) for one in value]
            else:
                known = parsed.HasField(field.name)
                found[field.name] = as_values(field.kind, value) if known else None
        else:
            found[field.name] = list(value) if field.repeated else value
    return found


@pytest.mark.parametrize("name", sorted(TABLES))
def test_agrees_with_protobuf(name: str) -> None:
    table = TABLES[name]
    for _ in range(10):
        sent = values(table)
        data = table.encode(sent)
        parsed = ORACLE.parse(table, data)
        assert as_values(table, parsed) == sent
        assert table.decode(parsed.SerializeToString()) == sent
        assert table.decode(data) == sent


@pytest.mark.parametrize("name", sorted(TABLES))
def test_damaged_messages_are_read_or_refused(name: str) -> None:
    table = TABLES[name]
    for _ in range(30):
        data = bytearray(table.encode(values(table))[:2000] or b"\0")
        for _ in range(3):
            data[RANDOM.randrange(len(data))] = RANDOM.randrange(256)
        try:
            table.decode(bytes(data[: RANDOM.randrange(len(data) + 1)]))
        except WireError:
            pass


def test_unknown_fields_are_skipped() -> None:
    data = messages.STATE.encode({"id": "a", "pid": 7, "exited_at": {"seconds": 1}})
    assert messages.PROCESS_KEY.decode(data)["id"] == "a"


def test_nesting_has_a_limit() -> None:
    table = Message()
    table.__init__(inner=(1, table))  # type: ignore[misc]
    data = b""
    for _ in range(40):
        data = b"\x0a" + wire.varint(len(data)) + data
    with pytest.raises(WireError, match="nested"):
        table.decode(data)


@pytest.mark.parametrize(
    "data", [b"\x0a\x05ab", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b", b"\x0a\x01\xff", b"\x0d\x00"]
)
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        messages.ANY.decode(data)


def test_negative_numbers_take_ten_bytes() -> None:
    assert messages.TIMESTAMP.encode({"seconds": -1}) == b"\x08" + b"\xff" * 9 + b"\x01"


def test_a_number_has_an_end() -> None:
    """It has at most 64 bits, ten bytes of seven."""
    assert wire.read_varint(b"\xff" * 9 + b"\x01", 0) == ((1 << 64) - 1, 10)
    with pytest.raises(WireError, match="longer than ten bytes"):
        wire.read_varint(b"\x80" * 10 + b"\x01", 0)
