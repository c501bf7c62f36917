"""Protocol buffers on the wire, from tables of fields (protobuf.dev, "Encoding").

Importing google.protobuf takes 30 to 45 ms and 6.7 MB, several times what the whole shim needs:
this is the part of it that containerd's and CRIU's messages use. A message is a ``dict``: every
field of the table is in a decoded one, with proto3's zero value where it was not sent; fields that
the table does not know are skipped; zero values are not written, except by ``Proto2Message``.
"""

from __future__ import annotations

from _struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STRING, BYTES, UINT, INT, BOOL, DOUBLE, TEXTS = (
    "string", "bytes", "uint", "int", "bool", "double", "texts",
)  # fmt: skip
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MASK64 = (1 << 64) - 1
SIGN64 = 1 << 63
ZERO: dict[str, object] = {STRING: "", BYTES: b"", UINT: 0, INT: 0, BOOL: False, DOUBLE: 0.0}
# No message of ours nests deeper; an `Any` holds bytes, not a message.
DEPTH = 16


class WireError(ValueError):
    """These bytes are not such a message."""


class Field:
    """Number and name of a field; ``kind`` is one of the constants above or a ``Message``."""

    __slots__ = ("kind", "name", "number", "repeated")

    def __init__(self, number: int, name: str, kind: str | Message, *, repeated: bool) -> None:
        self.number = number
        self.name = name
        self.kind = kind
        self.repeated = repeated

    def zero(self) -> object:
        if self.kind is TEXTS:
            return {}
        if self.repeated:
            return []
        return None if isinstance(self.kind, Message) else ZERO[self.kind]


class Message:
    """The table of one message type.

    ``Message(id=(1, STRING), rootfs=(3, [MOUNT]))``: a list of one kind is a repeated field,
    ``TEXTS`` a map of strings.
    """

    __slots__ = ("_by_number", "_fields")

    def __init__(self, **fields: tuple[int, str | Message | list[str | Message]]) -> None:
        self._fields = []
        for name, (number, kind) in fields.items():
            if isinstance(kind, list):
                self._fields.append(Field(number, name, kind[0], repeated=True))
            else:
                self._fields.append(Field(number, name, kind, repeated=False))
        self._by_number = {field.number: field for field in self._fields}

    def encode(self, values: dict[str, Any]) -> bytes:
        """The bytes of a message; fields that are missing in ``values`` are zero."""
        parts: list[bytes] = []
        for field in self._fields:
            value = values.get(field.name)
            if value is None or self._is_absent(field, value):
                continue
            if field.kind is TEXTS:
                for key, text in value.items():
                    pair = _delimited(1, key.encode()) + _delimited(2, text.encode())
                    parts.append(_delimited(field.number, pair))
            elif field.repeated:
                _encode_list(parts, field, value)
            else:
                parts.append(_encode(field.number, field.kind, value))
        return b"".join(parts)

    def _is_absent(self, field: Field, value: object) -> bool:
        return not value and not (value == {} and isinstance(field.kind, Message))

    def decode(self, data: bytes, depth: int = 0) -> dict[str, Any]:
        """The message in ``data``; raises ``WireError``."""
        if depth > DEPTH:
            raise WireError("a message is nested too deeply")
        values: dict[str, Any] = {field.name: field.zero() for field in self._fields}
        position = 0
        while position < len(data):
            tag, position = read_varint(data, position)
            number, wire_type = tag >> 3, tag & 7
            raw, position = _read(data, position, wire_type)
            field = self._by_number.get(number)
            if field is not None:
                _store(values, field, wire_type, raw, depth)
            elif not number:
                raise WireError("field number 0")
        return values


class Proto2Message(Message):
    """A message of proto2, where a zero that is said differs from nothing said: what is in the
    values, and not None, is written. Repeated numbers, which that packs not by itself, it has none.
    """

    __slots__ = ()

    def _is_absent(self, _field: Field, value: object) -> bool:
        return value is None


def varint(value: int) -> bytes:
    """``value`` (negative ones as 64 bits, in ten bytes)."""
    value &= MASK64
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it); raises ``WireError``."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise WireError("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MASK64, position
        shift += 7
        if shift > 63:
            raise WireError("a number is longer than ten bytes")


def _delimited(number: int, data: bytes) -> bytes:
    return varint(number << 3 | LENGTH) + varint(len(data)) + data


def _encode(number: int, kind: str | Message, value: Any) -> bytes:
    if isinstance(kind, Message):
        return _delimited(number, kind.encode(value))
    if kind is STRING:
        return _delimited(number, value.encode("utf-8", "replace"))
    if kind is BYTES:
        return _delimited(number, value)
    if kind is DOUBLE:
        return varint(number << 3 | FIXED64) + pack("<d", value)
    return varint(number << 3 | VARINT) + varint(int(value))


def _encode_list(parts: list[bytes], field: Field, values: list[Any]) -> None:
    if field.kind in (UINT, INT, BOOL):
        packed = b"".join(varint(int(value)) for value in values)
        parts.append(_delimited(field.number, packed))
    else:
        parts += [_encode(field.number, field.kind, value) for value in values]


def _read(data: bytes, position: int, wire_type: int) -> tuple[int | bytes, int]:
    if wire_type == VARINT:
        return read_varint(data, position)
    if wire_type == LENGTH:
        length, position = read_varint(data, position)
    elif wire_type in (FIXED64, FIXED32):
        length = 8 if wire_type == FIXED64 else 4
    else:
        raise WireError(f"unknown wire type {wire_type}")
    end = position + length
    if end > len(data):
        raise WireError("a field is cut off")
    return data[position:end], end


def _store(
    values: dict[str, Any], field: Field, wire_type: int, raw: int | bytes, depth: int
) -> None:
    kind = field.kind
    if kind is TEXTS:
        pair = _PAIR.decode(_bytes(field, raw, wire_type), depth + 1)
        values[field.name][pair["key"]] = pair["value"]
    elif field.repeated:
        if isinstance(raw, bytes) and wire_type == LENGTH and kind in (UINT, INT, BOOL):
            position = 0
            while position < len(raw):
                number, position = read_varint(raw, position)
                values[field.name].append(_number(kind, number))
        else:
            values[field.name].append(_value(field, wire_type, raw, depth))
    else:
        values[field.name] = _value(field, wire_type, raw, depth)


def _value(field: Field, wire_type: int, raw: int | bytes, depth: int) -> object:
    kind = field.kind
    if isinstance(kind, Message):
        return kind.decode(_bytes(field, raw, wire_type), depth + 1)
    if kind is STRING:
        try:
            return _bytes(field, raw, wire_type).decode()
        except UnicodeDecodeError:
            raise WireError(f"{field.name}: not UTF-8") from None
    if kind is BYTES:
        return _bytes(field, raw, wire_type)
    if kind is DOUBLE and wire_type == FIXED64 and isinstance(raw, bytes):
        return unpack("<d", raw)[0]
    if kind is not DOUBLE and isinstance(raw, int):
        return _number(kind, raw)
    raise WireError(f"{field.name}: wire type {wire_type} instead of {kind}")


def _bytes(field: Field, raw: int | bytes, wire_type: int) -> bytes:
    if wire_type != LENGTH or not isinstance(raw, bytes):
        raise WireError(f"{field.name}: wire type {wire_type} instead of a length")
    return raw


def _number(kind: str | Message, number: int) -> int | bool:
    if kind is BOOL:
        return number != 0
    if kind is INT and number & SIGN64:
        return number - (1 << 64)
    return number


_PAIR = Message(key=(1, STRING), value=(2, STRING))
