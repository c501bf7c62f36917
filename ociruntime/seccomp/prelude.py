"""What runs in front of libseccomp's program: ENOSYS for the future, rules that are not its.

A program that meets EPERM for a system call that its profile's author could not know believes that
it is forbidden, and gives up; with ENOSYS it uses the older call. So above the highest number that
the profile names (whatever the action), the answer is ENOSYS instead of the default action. runc
invented this; here it also holds where the profile names no architecture.
"""

from __future__ import annotations

import errno

from ociruntime.seccomp import bpf
from ociruntime.seccomp.conditions import decide
from ociruntime.spec.newercalls import X32_BIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.seccomp.bpf import Instruction
    from ociruntime.seccomp.conditions import Rule

ENOSYS = bpf.RET_ERRNO | errno.ENOSYS
X86_64 = 0xC000003E
"""AUDIT_ARCH_X86_64, which x32 shares: there only a bit of the number tells them apart."""


class Table:
    """One table of system calls that the filter speaks of.

    audit     the AUDIT_ARCH_* in seccomp_data.arch
    base      the number it starts with
    highest   the highest number that the profile names, -1 for none
    rules     (number, action) that libseccomp cannot express
    decided   number -> all rules of a call that arguments decide; the last one has no conditions
    wide      whether arguments have 64 bits
    """

    __slots__ = ("audit", "base", "decided", "highest", "rules", "wide")

    def __init__(self, audit: int, base: int, *, wide: bool = True) -> None:
        self.audit = audit
        self.base = base
        self.highest = -1
        self.rules: list[tuple[int, int]] = []
        self.decided: dict[int, list[Rule]] = {}
        self.wide = wide


def prelude(tables: Sequence[Table], *, future: bool) -> bytes:
    """The instructions to put in front of a program; empty when there is nothing to say.

    Parameters: ``future`` asks for ENOSYS above the highest numbers.
    """
    blocks: dict[int, list[Instruction]] = {}
    for table in tables:
        block = _block(table, future=future)
        if block:
            blocks.setdefault(table.audit, [bpf.load(bpf.NUMBER)]).extend(block)
    if not blocks:
        return b""
    code = [bpf.load(bpf.ARCHITECTURE)]
    # Each block ends with a jump to the end; the distance is what comes after it.
    rest = sum(len(block) + 3 for block in blocks.values())
    for audit, block in blocks.items():
        rest -= len(block) + 3
        code.append(bpf.jump_if(bpf.JUMP_EQUAL, audit, 1, 0))
        code.append(bpf.jump(len(block) + 1))
        code += [*block, bpf.jump(rest)]
    return bpf.assemble(code)


def _block(table: Table, *, future: bool) -> list[Instruction]:
    code: list[Instruction] = []
    for number, decided in table.decided.items():
        code += decide(number, decided, wide=table.wide)
    for number, action in table.rules:
        code += [bpf.jump_if(bpf.JUMP_EQUAL, number, 0, 1), bpf.ret(action)]
    if future and table.highest >= 0:
        if table.audit == X86_64 and table.base == 0:
            # From here on it is x32: its own table's business, or refused by libseccomp.
            code.append(bpf.jump_if(bpf.JUMP_GREATER, table.highest, 0, 2))
            code.append(bpf.jump_if(bpf.JUMP_GREATER_EQUAL, X32_BIT, 1, 0))
        else:
            code.append(bpf.jump_if(bpf.JUMP_GREATER, table.highest, 0, 1))
        code.append(bpf.ret(ENOSYS))
    return code
