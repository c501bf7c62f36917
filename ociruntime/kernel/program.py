"""Programs for oci-setup, which makes the inside of a container, and its answers
(native/program.h).

The layout is fixed in native/program.h; tests/native compares both. Imported on the hot path.
"""

from __future__ import annotations

from _struct import Struct

from ociruntime.kernel._sys import pack_operation

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
SKIP, SKIP_AT = Struct("=H"), 4
PACKET_MAX = 65536
SCRATCH_MAX = 65536
REGISTERS = 16384
NO_REGISTER = 0xFFFF
OPERANDS = 8
TOLERATED = 4
EVERY_ERRNO = 0xFFFF
MASK = (1 << 64) - 1

NUMBER, REGISTER, DATA, SCRATCH = range(4)

WANTED = 1 << 0
NOTED = 1 << 1
BYTES = 1 << 2
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
        self.operations = bytearray()
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
        self.operations += pack_operation(
            self._data,
            operands,
            Descriptor,
            Inherited,
            code,
            result,
            skip,
            flags,
            tolerated,
            number,
            output,
            output_size,
            self.scratch,
        )
        if output_size and operands[output] is None:
            self.scratch += -(-output_size // 8) * 8

    def set_skip(self, index: int, count: int) -> None:
        """Let the operation ``index`` leave out the next ``count`` (``skip``)."""
        SKIP.pack_into(self.operations, index * OPERATION.size + SKIP_AT, count)

    def pack(self) -> bytes:
        """The program; what follows is a new one."""
        data = self._data
        data.append(0)
        data += bytes(-len(data) % 8)
        begin = HEADER.size + len(data)
        operations = self.operations
        size, count = begin + len(operations), len(operations) // OPERATION.size
        header = HEADER.pack(MAGIC, size, self.scratch, count, begin, 0)
        packed = b"".join([header, data, operations])
        self._data = bytearray()
        self.operations = bytearray()
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
