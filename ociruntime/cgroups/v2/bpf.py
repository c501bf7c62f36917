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
from _struct import pack, unpack_from
from array import array  # tells the address of its memory, which structures of bpf(2) hold

from ociruntime.cgroups.devices import WILDCARD, Rule, rules_of
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.spec.documents import ResourcesDeviceConfig

# linux/bpf.h
BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_GET_FD_BY_ID = 5, 8, 13
BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY = 15, 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI, BPF_F_REPLACE = 2, 4
BPF_DEVCG_DEV = {"b": 1, "c": 2}
BPF_DEVCG_ACC = {"m": 1, "r": 2, "w": 4}

# The name by which we find our program again; the kernel keeps 15 characters.
NAME = b"ocirt_devices\0\0\0"
# The kernel allows no more on one cgroup.
MOST_PROGRAMS = 64
# struct bpf_prog_info: a size that holds its first members, and where the name is; in the union
# for BPF_PROG_QUERY, where the number of programs is.
INFORMATION_SIZE, NAME_OFFSET, COUNT_OFFSET = 128, 64, 24

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


def limit_devices(kernel: Kernel, cgroup: int, entries: list[ResourcesDeviceConfig]) -> None:
    """Make device access of an open cgroup what ``linux.resources.devices`` says, with the defaults
    of ``devices``; an earlier program of ours is replaced. Raises ``StepError``.
    """
    attach(kernel, cgroup, program(rules_of(entries)))


def attach(kernel: Kernel, cgroup: int, code: bytes) -> None:
    """Load the program and attach it to an open cgroup, in place of the one that we attached
    earlier, and next to any that others attached: all have to agree.

    There is no moment without a program. The kernel drops it with the cgroup. Raises ``StepError``.
    """
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
        NAME,
    )
    earlier: list[int] = []
    try:
        loaded = _bpf(kernel, BPF_PROG_LOAD, request)
        try:
            earlier = _attached(kernel, cgroup)
            flags = BPF_F_ALLOW_MULTI | (BPF_F_REPLACE if earlier else 0)
            replaced = earlier[0] if earlier else 0
            order = pack("=IIIII", cgroup, loaded, BPF_CGROUP_DEVICE, flags, replaced)
            _bpf(kernel, BPF_PROG_ATTACH, order)
        finally:
            for fd in [*earlier, loaded]:
                kernel.close(fd)
    except OSError as error:
        number = error.errno or 0
        raise StepError(
            "linux.resources.devices (BPF program)", number, _EXPLAIN.get(number, "")
        ) from None


def _attached(kernel: Kernel, cgroup: int) -> list[int]:
    """The fd of the program on the cgroup that has our name; [] when there is none."""
    ids = array("I", [0] * MOST_PROGRAMS)
    query = bytearray(
        pack("=IIIIQII", cgroup, BPF_CGROUP_DEVICE, 0, 0, ids.buffer_info()[0], len(ids), 0)
    )
    kernel.invoke("bpf", BPF_PROG_QUERY, query, len(query))
    for number in ids[: unpack_from("=I", query, COUNT_OFFSET)[0]]:
        fd = _bpf(kernel, BPF_PROG_GET_FD_BY_ID, pack("=III", number, 0, 0))
        information = array("B", bytes(INFORMATION_SIZE))
        address = information.buffer_info()[0]
        _bpf(kernel, BPF_OBJ_GET_INFO_BY_FD, pack("=IIQ", fd, INFORMATION_SIZE, address))
        if information[NAME_OFFSET : NAME_OFFSET + len(NAME)].tobytes() == NAME:
            return [fd]
        kernel.close(fd)
    return []


def _bpf(kernel: Kernel, command: int, attributes: bytes) -> int:
    return kernel.invoke("bpf", command, bytearray(attributes), len(attributes))


_EXPLAIN = {
    errno.EPERM: "devices on cgroup v2 are limited by root of the host alone; remove the list",
    errno.EACCES: "the kernel's verifier refuses the program: a bug, report it with the list",
    errno.ENOSYS: "this kernel has no bpf(2); it needs CONFIG_CGROUP_BPF",
    errno.EINVAL: "this kernel has no device programs for cgroups; it needs CONFIG_CGROUP_BPF",
    errno.E2BIG: "the list of devices is too long for one program; shorten it",
}
