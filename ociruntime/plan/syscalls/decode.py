"""Reading what ``kernel.program`` has packed (native/program.h)."""

from __future__ import annotations

from ociruntime.kernel import program as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Operand:
    """One operand: ``value`` is a number, a register or an offset, as ``kind`` says."""

    __slots__ = ("_program", "kind", "value")

    def __init__(self, kind: int, value: int, program: bytes) -> None:
        self.kind = kind
        self.value = value
        self._program = program

    @property
    def number(self) -> int:
        """As a signed 32-bit number, which descriptors and modes are."""
        low = self.value & 0xFFFFFFFF
        return low - (1 << 32) if low & 1 << 31 else low

    def memory(self, size: int) -> bytes:
        """So many bytes from where it points to."""
        return self._program[self.value : self.value + size]

    def text(self) -> bytes:
        """The string it points to."""
        return self._program[self.value : self._program.index(0, self.value)]

    def texts(self, count: int) -> list[bytes]:
        """The strings one behind the other."""
        return self._program[self.value :].split(b"\0", count)[:count]


class Operation:
    """One operation of a program, as ``Program.add`` was given it."""

    __slots__ = (
        "code",
        "flags",
        "number",
        "operands",
        "output_size",
        "result",
        "skip",
        "tolerated",
    )

    def __init__(self, packed: bytes, program: bytes) -> None:
        fields = p.OPERATION.unpack(packed)
        self.code, self.result, self.skip, self.flags = fields[:4]
        self.tolerated = [number for number in fields[4:8] if number]
        kinds, self.number, _, self.output_size = fields[8:12]
        self.operands = [
            Operand(kinds >> 4 * index & 15, value, program)
            for index, value in enumerate(fields[12:])
        ]


def operations(program: bytes) -> Iterator[Operation]:
    """The operations of a packed program, in their order."""
    _, _, _, count, begin, _ = p.HEADER.unpack_from(program)
    for index in range(count):
        at = begin + index * p.OPERATION.size
        yield Operation(program[at : at + p.OPERATION.size], program)
