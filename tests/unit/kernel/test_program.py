"""Operations for oci-setup, as they are packed: what each operand becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.kernel import program as p
from ociruntime.kernel.program import Descriptor, Inherited, Program
from ociruntime.plan.syscalls.decode import Operation, operations

MOST_OPERANDS, MOST_TOLERATED = 8, 4


def packed(*operands: Any, **rest: Any) -> Operation:
    program = Program()
    program.add(p.CALL, operands, **rest)
    (one,) = operations(program.pack())
    return one


@pytest.mark.parametrize(
    ("operand", "kind", "number"),
    [
        (7, 0, 7),
        (-1, 0, -1),
        (None, 0, 0),
        (Descriptor(3), p.REGISTER, 3),
        (Inherited(4), 0, 4),
    ],
)
def test_numbers_and_registers(operand: object, kind: int, number: int) -> None:
    (found, *_) = packed(operand).operands
    assert (found.kind, found.number) == (kind, number)


def test_texts_and_memory() -> None:
    one = packed(b"first", bytearray(b"a\0b"), b"")
    first, memory, empty, *_ = one.operands
    assert {first.kind, memory.kind, empty.kind} == {p.DATA}
    assert (first.text(), memory.memory(4), empty.text()) == (b"first", b"a\0b\0", b"")


def test_what_is_written() -> None:
    one = packed(1, None, output=1, output_size=16)
    assert one.operands[1].kind == p.SCRATCH
    assert one.output_size == 16


def test_a_string_ends_at_its_end() -> None:
    with pytest.raises(ValueError, match="a string cannot contain a NUL byte"):
        packed(b"/proc\0/etc")


@pytest.mark.parametrize("operand", [1.5, "text", True, (1,)])
def test_other_operands(operand: object) -> None:
    with pytest.raises(TypeError, match="an operand cannot be"):
        packed(operand)


def test_as_many_as_there_is_room_for() -> None:
    one = packed(*range(MOST_OPERANDS), tolerated=(1, 2, 3, 4))
    assert [operand.number for operand in one.operands] == list(range(MOST_OPERANDS))
    assert one.tolerated == [1, 2, 3, 4]
    with pytest.raises(TypeError, match="no such operation"):
        packed(*range(MOST_OPERANDS + 1))
    with pytest.raises(TypeError, match="no such operation"):
        packed(1, tolerated=tuple(range(MOST_TOLERATED + 1)))
