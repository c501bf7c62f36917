"""Device rules as a BPF program of type CGROUP_DEVICE, which is how cgroup v2 limits devices.

Sources: linux/bpf.h (struct bpf_insn, struct bpf_cgroup_dev_ctx, union bpf_attr); bpf(2);
Documentation/bpf/standardization/instruction-set.rst; cgroup-v2.rst, "Device controller".
 The kernel calls the program for each open or mknod of a device with (access_type, major, minor); 1
lets it pass. The rules are tested from the last to the first and the first that matches decides,
which is what "in the listed order" with the last word to the later rule means. Unlike v1,
exceptions of exceptions are possible.
"""

from __future__ import annotations

import errno
from _struct import pack

from ociruntime.cgroups.devices import WILDCARD, Rule
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# linux/bpf.h
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_DEVCG_DEV = {"b": 1, "c": 2}
BPF_DEVCG_ACC = {"m": 1, "r": 2, "w": 4}

# Operation codes, all on 32 bits, and registers.
LOAD_WORD, AND, SHIFT_RIGHT, MOVE, MOVE_REGISTER = 0x61, 0x54, 0x74, 0xB4, 0xBC
JUMP_IF_EQUAL, JUMP_IF_NOT_EQUAL, EXIT = 0x16, 0x56, 0x95
RESULT, CONTEXT, KIND, ACCESS, MAJOR, MINOR = 0, 1, 2, 3, 4, 5
SCRATCH = CONTEXT  # the context is read at the start and not needed later


def instruction(code: int, to: int, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One struct bpf_insn; ``value`` may be any 32 bits."""
    return pack("=BBhI", code, source << 4 | to, offset, value & 0xFFFFFFFF)


def program(rules: list[Rule]) -> bytes:
    """The program for rules in the order of the config; what no rule speaks of is allowed, as on
    v1.
    """
    code = [
        instruction(LOAD_WORD, KIND, CONTEXT),
        instruction(MOVE_REGISTER, ACCESS, KIND),
        instruction(
            AND, KIND, value=0xFFFF
        ),  # access_type: the kind of device below, the accesses above
        instruction(SHIFT_RIGHT, ACCESS, value=16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8),
    ]
    for rule in reversed(rules):
        code += _block(rule)
    code += [instruction(MOVE, RESULT, value=1), instruction(EXIT, 0)]
    return b"".join(code)


def _block(rule: Rule) -> list[bytes]:
    """Leave with a verdict if this rule brings one, else go on behind the block.

    An open for reading and writing wants two accesses at once, and each may be decided by another
    rule. So a denying rule decides when any wanted access is its own; an allowing one takes its
    accesses off the list, and when nothing is left on it everything was allowed.
    """
    mask = 0
    for letter in rule.access:
        mask |= BPF_DEVCG_ACC[letter]
    if rule.allow:
        decide = [
            instruction(AND, ACCESS, value=~mask),
            instruction(JUMP_IF_NOT_EQUAL, ACCESS, offset=2, value=0),
            instruction(MOVE, RESULT, value=1),
            instruction(EXIT, 0),
        ]
    else:
        decide = [
            instruction(MOVE_REGISTER, SCRATCH, ACCESS),
            instruction(AND, SCRATCH, value=mask),
            instruction(JUMP_IF_EQUAL, SCRATCH, offset=2, value=0),
            instruction(MOVE, RESULT, value=0),
            instruction(EXIT, 0),
        ]
    wanted = [(KIND, BPF_DEVCG_DEV[rule.kind])]
    if rule.major != WILDCARD:
        wanted.append((MAJOR, rule.major))
    if rule.minor != WILDCARD:
        wanted.append((MINOR, rule.minor))
    block = []
    for index, (register, value) in enumerate(wanted, 1):
        behind = len(wanted) - index + len(decide)
        block.append(instruction(JUMP_IF_NOT_EQUAL, register, offset=behind, value=value))
    return block + decide


def attach(kernel: Kernel, cgroup: int, code: bytes) -> None:
    """Load the program and attach it to an open cgroup, next to any that others attached: all have
    to agree.

    The kernel drops it with the cgroup. Raises ``StepError``.
    """
    from array import (
        array,
    )  # tells the address of its memory, which the system call wants inside a structure

    text, licence = array("B", code), array("B", b"Apache-2.0\0")
    request = pack(
        "=IIQQIIQII16s",
        BPF_PROG_TYPE_CGROUP_DEVICE,
        len(code) // 8,
        text.buffer_info()[0],
        licence.buffer_info()[0],
        0,
        0,
        0,
        0,
        0,
        b"devices",
    )
    try:
        loaded = kernel.invoke("bpf", BPF_PROG_LOAD, bytearray(request), len(request))
        try:
            order = bytearray(pack("=IIII", cgroup, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI))
            kernel.invoke("bpf", BPF_PROG_ATTACH, order, len(order))
        finally:
            kernel.close(loaded)
    except OSError as error:
        number = error.errno or 0
        raise StepError(
            "linux.resources.devices (BPF program)", number, _EXPLAIN.get(number, "")
        ) from None


_EXPLAIN = {
    errno.EPERM: "devices on cgroup v2 are limited by root of the host alone; remove the list",
    errno.EACCES: "the kernel's verifier refuses the program: a bug, report it with the list",
    errno.ENOSYS: "this kernel has no bpf(2); it needs CONFIG_CGROUP_BPF",
    errno.EINVAL: "this kernel has no device programs for cgroups; it needs CONFIG_CGROUP_BPF",
    errno.E2BIG: "the list of devices is too long for one program; shorten it",
}
