"""The simulator computes what linux/filter.h says; programs are laid out as the kernel reads."""

from __future__ import annotations

import struct

import pytest

from ociruntime.seccomp import bpf

ARCH = 0xC000003E
HIGH_WORD, LOW_WORD = 20, 16


def run(*code: tuple[int, int, int, int], number: int = 7, args: tuple[int, ...] = ()) -> int:
    return bpf.evaluate(bpf.assemble(code), number, ARCH, args)


def test_layout_is_that_of_struct_sock_filter() -> None:
    assert bpf.assemble([bpf.ret(0x7FFF0000)]) == struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
    code = bpf.jump_if(bpf.JUMP_EQUAL, 5, 1, 2)
    assert bpf.assemble([code]) == struct.pack("=HBBI", 0x15, 1, 2, 5)


@pytest.mark.parametrize(
    ("code", "value", "taken"),
    [
        (bpf.JUMP_EQUAL, 7, True),
        (bpf.JUMP_EQUAL, 8, False),
        (bpf.JUMP_GREATER, 6, True),
        (bpf.JUMP_GREATER, 7, False),
        (bpf.JUMP_GREATER_EQUAL, 7, True),
        (bpf.JUMP_GREATER_EQUAL, 8, False),
        (bpf.JUMP_SET, 0b100, True),
        (bpf.JUMP_SET, 0b1000, False),
    ],
)
def test_conditions(code: int, value: int, taken: bool) -> None:
    program = (bpf.load(bpf.NUMBER), bpf.jump_if(code, value, 0, 1), bpf.ret(1), bpf.ret(2))
    assert run(*program) == (1 if taken else 2)


def test_jump_skips() -> None:
    assert run(bpf.jump(1), bpf.ret(1), bpf.ret(2)) == 2


def test_comparisons_are_unsigned_and_minus_one_is_the_largest_number() -> None:
    program = (bpf.load(bpf.NUMBER), bpf.jump_if(bpf.JUMP_GREATER, 1 << 31, 0, 1))
    assert run(*program, bpf.ret(1), bpf.ret(2), number=-1) == 1


def test_arguments_are_two_words_each() -> None:
    low = (bpf.load(LOW_WORD), bpf.jump_if(bpf.JUMP_EQUAL, 0x55667788, 0, 1))
    high = (bpf.load(HIGH_WORD), bpf.jump_if(bpf.JUMP_EQUAL, 0x11223344, 0, 1))
    ends = (bpf.ret(1), bpf.ret(2))
    value = 0x11223344_55667788
    assert run(*low, *ends, args=(value,)) == 1
    assert run(*high, *ends, args=(value,)) == 1
    assert run(*high, *ends) == 2


def test_masks() -> None:
    program = (bpf.load(LOW_WORD), (bpf.AND, 0, 0, 0xF0), bpf.jump_if(bpf.JUMP_EQUAL, 0x30, 0, 1))
    assert run(*program, bpf.ret(1), bpf.ret(2), args=(0x3F,)) == 1


def test_other_instructions_are_refused() -> None:
    with pytest.raises(ValueError, match="0x4"):
        run((0x04, 0, 0, 1))  # ADD


def test_a_program_without_end_is_an_error() -> None:
    with pytest.raises(IndexError):
        run(bpf.load(bpf.NUMBER))
