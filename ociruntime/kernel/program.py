"""Programs for oci-setup, which makes the inside of a container, and its answers
(native/program.h).

The layout is fixed in native/program.h; tests/native compares both. Imported on the hot path.
"""

from __future__ import annotations

from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Operand = int | bytes | bytearray | None
    # (errno, value of the record, its text) -> what to raise
    Explain = Callable[[int, int, bytes], Exception]

MAGIC = 0x5049434F
HEADER = Struct("=6I")
OPERATION = Struct("=8H4I8Q")
RECORD = Struct("=2H2Iiq")
MADE = Struct("=2I")
PACKET_MAX = 65536
SCRATCH_MAX = 65536
REGISTERS = 16384
NO_REGISTER = 0xFFFF
OPERANDS = 8
TOLERATED = 4
EVERY_ERRNO = 0xFFFF
MASK = (1 << 64) - 1
NONE = (0,) * TOLERATED
# What fills up so many operands.
ZEROES = tuple((0,) * (OPERANDS - count) for count in range(OPERANDS + 1))

NUMBER, REGISTER, DATA, SCRATCH = range(4)

WANTED = 1 << 0
NOTED = 1 << 1
BYTES = 1 << 2
IN_SCRATCH = 1 << 3
ELSE = 1 << 4

CALL = 0
OPEN = 1
DIRECTORY = 2
FILE = 3
ITSELF = 4
DEVICE = 5
SYMLINK = 6
FILESYSTEM = 7
ATTACH = 8
KIND = 9
NODE = 10
EMPTY = 11
PROGRAM = 12
HOME = 13
KEYRING = 14
SEND = 15
TAKE = 16
CLONE = 17
HOOK = 18
WAIT = 19
EXECUTE = 20
ON = 21
MASK_PATH = 22
READONLY = 23
PLACE = 24
DEV = 25

FOLLOWS, NO_SYMLINKS = 0, 1
"""How the path of ``DIRECTORY`` may lead there (enum making)."""

REPLACES, NEAR = 1, 2
"""How ``SYMLINK`` makes one (enum linking)."""

RECORD_DONE, RECORD_FAILED, RECORD_VALUE, RECORD_NOTE, RECORD_MADE, RECORD_LEAVING = range(6)

PLAINLY, OTHER_MOUNT, NOT_IT, FAKE_PROC, OUTSIDE, ON_DIRECTORY, OPTION = range(7)
"""What a failure's value says (enum failure)."""

TIME_IS_OVER = 1 << 16
"""In the wait status that ``WAIT`` results in."""

EXIT_PROGRAM = 70
"""Exit status of an oci-setup that refused its program."""


class Descriptor(int):
    """The register that holds a descriptor of oci-setup's."""

    __slots__ = ()


class Inherited(int):
    """A descriptor that oci-setup was started with, and this process has closed."""

    __slots__ = ()


class Program:
    """Operations that are added one by one, and then packed."""

    __slots__ = ("_data", "operations", "scratch")

    def __init__(self) -> None:
        self._data = bytearray()
        self.operations: list[bytearray] = []
        self.scratch = 0

    def add(
        self,
        code: int,
        operands: tuple[Operand, ...],
        number: int = 0,
        result: int = NO_REGISTER,
        tolerated: tuple[int, ...] = (),
        skip: int = 0,
        flags: int = 0,
        output: int = -1,
        output_size: int = 0,
    ) -> None:
        """Add one operation.

        Operands are numbers, ``Descriptor``, strings (bytes, which must not have a NUL) or memory
        (bytearray). ``output`` is the index of the operand that is written, of ``output_size``
        bytes; one that is None is scratch memory. ``number`` is that of a system call.
        """
        kinds = index = written = 0
        values = []
        for operand in operands:
            kind = type(operand)
            if kind is int:
                values.append(operand & MASK)  # type: ignore[operator]
            elif kind is Descriptor:
                kinds |= REGISTER << index
                values.append(operand)  # type: ignore[arg-type]
            elif kind is Inherited:
                values.append(operand)  # type: ignore[arg-type]
            elif operand is not None:
                kinds |= DATA << index
                values.append(self._memory(operand))  # type: ignore[arg-type]
            else:
                values.append(0)
            index += 4
        if output_size:
            if operands[output] is None:
                kinds |= SCRATCH << 4 * output
                values[output] = self.scratch
                self.scratch += -(-output_size // 8) * 8
                flags |= IN_SCRATCH
            written = values[output]
        errnos = (*tolerated, 0, 0, 0, 0)[:TOLERATED] if tolerated else NONE
        rest = kinds, number, written, output_size, *values, *ZEROES[len(values)]
        packed = OPERATION.pack(code, result, skip, flags, *errnos, *rest)
        self.operations.append(bytearray(packed))

    def _memory(self, content: bytes | bytearray) -> int:
        if type(content) is bytes and b"\0" in content:
            raise ValueError("a string cannot contain a NUL byte")
        data = self._data
        offset = HEADER.size + len(data)
        data += content
        data.append(0)
        return offset

    def set_skip(self, index: int, count: int) -> None:
        """Let the operation ``index`` leave out the next ``count`` (``skip``)."""
        self.operations[index][4:6] = count.to_bytes(2, "little")

    def pack(self) -> bytes:
        """The program; what follows is a new one."""
        data = self._data
        data.append(0)
        data += bytes(-len(data) % 8)
        begin = HEADER.size + len(data)
        count = len(self.operations)
        size = begin + count * OPERATION.size
        header = HEADER.pack(MAGIC, size, self.scratch, count, begin, 0)
        packed = b"".join([header, data, *self.operations])
        self._data = bytearray()
        self.operations = []
        self.scratch = 0
        return packed


def strings(texts: list[bytes]) -> tuple[bytearray, int]:
    """Operands for a list of strings: what they are one behind the other, and their number."""
    packed = bytearray(b"\0".join([*texts, b""]))
    if packed.count(0) != len(texts):
        raise ValueError("a string cannot contain a NUL byte")
    return packed, len(texts)


class Record:
    """A part of an answer; ``kind`` is RECORD_*, the rest as native/program.h says."""

    __slots__ = ("kind", "number", "operation", "text", "value")

    def __init__(self, kind: int, operation: int, number: int, value: int, text: bytes) -> None:
        self.kind = kind
        self.operation = operation
        self.number = number
        self.value = value
        self.text = text


def records(packet: bytes) -> Iterator[Record]:
    """What a packet of oci-setup's says; raises ValueError for anything else."""
    at = 0
    while at < len(packet):
        if len(packet) - at < RECORD.size:
            raise ValueError("a record is cut off")
        kind, _, size, operation, number, value = RECORD.unpack_from(packet, at)
        if not RECORD.size <= size <= len(packet) - at or kind > RECORD_LEAVING:
            raise ValueError(f"no record: kind {kind}, {size} bytes")
        yield Record(kind, operation, number, value, packet[at + RECORD.size : at + size])
        at += -(-size // 8) * 8
