"""Classic BPF as seccomp(2) has it: writing instructions, and running a program on paper.

linux/bpf_common.h and linux/filter.h; the input of a filter is struct seccomp_data.
"""

from __future__ import annotations

from _struct import Struct, iter_unpack, pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Instruction = tuple[int, int, int, int]

LOAD = 0x20
AND = 0x54
JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, JUMP_SET = 0x05, 0x15, 0x25, 0x35, 0x45
RETURN = 0x06

# Offsets in struct seccomp_data, in bytes.
NUMBER, ARCHITECTURE = 0, 4
# linux/bpf_common.h BPF_MAXINSNS: the kernel refuses longer programs.
LONGEST = 4096

RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
RET_ACTION = 0xFFFF0000

_INSTRUCTION = Struct("=HBBI")
_ARGUMENTS = 6


def load(offset: int) -> Instruction:
    """A = the 32 bit word at ``offset`` of struct seccomp_data."""
    return LOAD, 0, 0, offset


def jump(count: int) -> Instruction:
    """Skip ``count`` instructions."""
    return JUMP, 0, 0, count


def jump_if(code: int, value: int, then: int, otherwise: int) -> Instruction:
    """Compare A with ``value`` and skip one or the other number (0 to 255) of instructions."""
    return code, then, otherwise, value


def ret(action: int) -> Instruction:
    """End with ``action``."""
    return RETURN, 0, 0, action


def assemble(instructions: Sequence[Instruction]) -> bytes:
    """The array of struct sock_filter."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def evaluate(program: bytes, number: int, architecture: int, args: Sequence[int] = ()) -> int:
    """What ``program`` returns for a system call, as the kernel would compute it.

    Parameters: ``number`` as in seccomp_data.nr (negative ones wrap), ``architecture`` an
    AUDIT_ARCH_*, ``args`` up to six unsigned 64 bit values. Raises ``ValueError`` for an
    instruction that neither libseccomp nor we write, ``IndexError`` for a jump out of the program.
    """
    values = [*args, *[0] * (_ARGUMENTS - len(args))]
    data = pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *values)
    code = list(iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, then, otherwise, value = code[at]
        at += 1
        if operation == LOAD:
            accumulator = unpack_from("=I", data, value)[0]
        elif operation == AND:
            accumulator &= value
        elif operation == JUMP:
            at += value
        elif operation == RETURN:
            return int(value)
        else:
            at += then if _holds(operation, accumulator, value) else otherwise


def _holds(operation: int, accumulator: int, value: int) -> bool:
    if operation == JUMP_EQUAL:
        return accumulator == value
    if operation == JUMP_GREATER:
        return accumulator > value
    if operation == JUMP_GREATER_EQUAL:
        return accumulator >= value
    if operation == JUMP_SET:
        return bool(accumulator & value)
    raise ValueError(f"instruction {operation:#x} is not one of a seccomp filter")
