"""Rules with ``args`` as instructions: what arguments decide is compared here, rule after rule.

Calls whose rules all have conditions are decided completely in front of libseccomp's program, which
never sees them. No rule shares an instruction with another, so that a program is right if each of
the seven operators is, alone; tests prove it with random profiles. For Docker's default profile on
three architectures that is 5 % more instructions, and a tenth less time to compile.
"""

from __future__ import annotations

from ociruntime.seccomp import bpf
from ociruntime.spec.tables import SECCOMP_OPERATORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.seccomp.bpf import Instruction

    # (index of the argument, SCMP_CMP_*, value, second value)
    Condition = tuple[int, int, int, int]
    # All conditions must hold for the action.
    Rule = tuple[Sequence[Condition], int]

# libseccomp's tokens are AUDIT_ARCH_* (linux/audit.h), but that of x32 has not this bit.
_WIDE = 0x80000000
_HALF = 0xFFFFFFFF
# struct seccomp_data: args[6] of 64 bits, little endian on all that we support.
_ARGS, _SIZE = 16, 8
_NEGATED = {
    SECCOMP_OPERATORS["SCMP_CMP_NE"]: SECCOMP_OPERATORS["SCMP_CMP_EQ"],
    SECCOMP_OPERATORS["SCMP_CMP_LT"]: SECCOMP_OPERATORS["SCMP_CMP_GE"],
    SECCOMP_OPERATORS["SCMP_CMP_LE"]: SECCOMP_OPERATORS["SCMP_CMP_GT"],
}
_GREATER = {
    SECCOMP_OPERATORS["SCMP_CMP_GT"]: bpf.JUMP_GREATER,
    SECCOMP_OPERATORS["SCMP_CMP_GE"]: bpf.JUMP_GREATER_EQUAL,
}
_MASKED = SECCOMP_OPERATORS["SCMP_CMP_MASKED_EQ"]


def is_wide(token: int) -> bool:
    """Whether arguments of an architecture have 64 bits; of others the lower 32 are compared, as
    libseccomp does. Parameters: ``token`` as libseccomp names the architecture.
    """
    return bool(token & _WIDE)


def decide(number: int, rules: Sequence[Rule], *, wide: bool) -> list[Instruction]:
    """Answer the call ``number`` by the first rule whose conditions hold; the last has none.

    A must hold the number of the call; for another one it is left as it is, and what comes behind
    goes on.
    """
    body: list[Instruction] = []
    for conditions, action in rules:
        body += _rule(conditions, action, wide=wide)
    # A conditional jump reaches 255 instructions only.
    return [bpf.jump_if(bpf.JUMP_EQUAL, number, 1, 0), bpf.jump(len(body)), *body]


def _rule(conditions: Sequence[Condition], action: int, *, wide: bool) -> list[Instruction]:
    """Return ``action`` if all ``conditions`` hold, else go on behind."""
    code: list[Instruction] = [bpf.ret(action)]
    for condition in reversed(conditions):
        code = [*_test(condition, len(code), wide=wide), *code]
    return code


def _test(condition: Condition, rest: int, *, wide: bool) -> list[Instruction]:
    """Go on behind if the condition holds, else skip the ``rest`` of the rule as well."""
    index, operator, value, second = condition
    positive = _NEGATED.get(operator, operator)
    code: list[Instruction] = []
    for half in (4, 0) if wide else (0,):
        mask = value >> (8 * half) & _HALF
        wanted = (second if operator == _MASKED else value) >> (8 * half) & _HALF
        code.append(bpf.load(_ARGS + _SIZE * index + half))
        if operator == _MASKED:
            code.append((bpf.AND, 0, 0, mask))
            wanted &= mask
        # From the end of the condition.
        holds, fails = (rest, 0) if positive != operator else (0, rest)
        if half == 0:
            code.append(bpf.jump_if(_GREATER.get(positive, bpf.JUMP_EQUAL), wanted, holds, fails))
        elif positive in _GREATER:
            # Three instructions are left, of which two are the lower half.
            code.append(bpf.jump_if(bpf.JUMP_GREATER, wanted, holds + 3, 0))
            code.append(bpf.jump_if(bpf.JUMP_EQUAL, wanted, 0, fails + 2))
        else:
            left = 3 if operator == _MASKED else 2
            code.append(bpf.jump_if(bpf.JUMP_EQUAL, wanted, 0, fails + left))
    return code
