"""Random seccomp profiles, what each says of a call when it is read plainly, and classic BPF as the
kernel runs it. Nothing here uses the compiler's code, its library or its tables.
"""

from __future__ import annotations

import errno
import functools
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# linux/audit.h; x32 shares the first, where a bit of the number tells them apart.
AUDIT_X86_64, AUDIT_I386, AUDIT_AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32_BIT = 0x40000000
# linux/seccomp.h: what a filter returns, by the name that a profile has for it.
ACTIONS = {
    "ALLOW": 0x7FFF0000,
    "ERRNO": 0x00050000,
    "KILL": 0,
    "KILL_PROCESS": 0x80000000,
    "LOG": 0x7FFC0000,
    "TRACE": 0x7FF00000,
    "TRAP": 0x00030000,
}
CARRY_A_VALUE = ("ERRNO", "TRACE")
REFUSING = ("ERRNO", "KILL", "KILL_PROCESS", "TRAP")
ENOSYS = ACTIONS["ERRNO"] | errno.ENOSYS
TABLES = ("X86_64", "X86", "X32")
_HEADERS = {"X86_64": "unistd_64.h", "X86": "unistd_32.h", "X32": "unistd_x32.h"}
_INCLUDE = Path("/usr/include/x86_64-linux-gnu/asm")

# In all three tables, with one number in each.
EVERYWHERE = [
    "read", "write", "open", "close", "mmap", "ioctl", "clone", "clone3", "execve", "execveat",
    "prctl", "personality", "mkdir", "mkdirat", "getrandom", "openat2", "futex_waitv", "rseq",
    "io_uring_enter", "dup3", "fchmodat", "keyctl", "umask", "sched_yield", "getpriority",
]  # fmt: skip
# On i386 also (or only) by way of socketcall(2) and ipc(2), or not there.
NOT_ON_I386 = ["socket", "socketpair", "accept4", "sendmsg", "shmget", "semctl", "msgsnd"]

WORDS = (0, 1, 2, 8, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, 1 << 63)
_FULL = (1 << 64) - 1
_COMPARE: dict[str, Callable[[int, int, int], bool]] = {
    "EQ": lambda given, value, _: given == value,
    "NE": lambda given, value, _: given != value,
    "LT": lambda given, value, _: given < value,
    "LE": lambda given, value, _: given <= value,
    "GE": lambda given, value, _: given >= value,
    "GT": lambda given, value, _: given > value,
    "MASKED_EQ": lambda given, mask, value: given & mask == value & mask,
}


@functools.cache
def numbers(table: str) -> dict[str, int]:
    """Name to number, out of the C library's headers (linux-libc-dev)."""
    lines = (_INCLUDE / _HEADERS[table]).read_text()
    found = re.findall(r"^#define __NR_(\w+) (\(__X32_SYSCALL_BIT \+ )?(\d+)", lines, re.MULTILINE)
    return {name: int(number) | (X32_BIT if shifted else 0) for name, shifted, number in found}


@dataclass(frozen=True)
class Call:
    """One system call: by which table, and what a filter sees of it (struct seccomp_data)."""

    table: str
    number: int
    audit: int
    args: tuple[int, ...]


@dataclass(frozen=True)
class Made:
    """A random profile, and calls to ask it about."""

    profile: dict[str, Any]
    calls: tuple[Call, ...]

    def says(self, call: Call) -> int:
        """What the profile says of ``call``, read plainly: SECCOMP_RET_* with its data."""
        tables = {"X86_64", *(name.removeprefix("SCMP_ARCH_") for name in self._architectures())}
        if call.table not in tables:
            return ACTIONS["KILL"]
        table = numbers(call.table)
        default = _value(self.profile["defaultAction"], self.profile.get("defaultErrnoRet"))
        rules = [
            (_value(rule["action"], rule.get("errnoRet")), rule.get("args", []))
            for rule in self.profile.get("syscalls", ())
            if any(table.get(name) == call.number for name in rule["names"])
        ]
        # A rule that says what the default says is none; one without args outweighs the others.
        rules = [rule for rule in rules if rule[0] != default]
        for value, args in sorted(rules, key=lambda rule: bool(rule[1])):
            if _holds(args, call):
                return value
        known = [table[name] for rule in self.profile.get("syscalls", ()) for name in rule["names"]]
        refuses = self.profile["defaultAction"].removeprefix("SCMP_ACT_") in REFUSING
        return ENOSYS if refuses and known and call.number > max(known) else default

    def _architectures(self) -> list[str]:
        return list(self.profile.get("architectures", ()))


def _value(action: str, value: int | None) -> int:
    name = action.removeprefix("SCMP_ACT_")
    carried = (errno.EPERM if value is None else value) if name in CARRY_A_VALUE else 0
    return ACTIONS[name] | carried


def _choices(args: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The sets of conditions of which one must hold, in a form that can be compared."""
    words = [str(sorted(arg.items())) for arg in args]
    alternatives = len({arg["index"] for arg in args}) < len(args)
    return [(word,) for word in words] if alternatives else [tuple(sorted(words))]


def _holds(args: list[dict[str, Any]], call: Call) -> bool:
    """All conditions; where two look at one argument each is an alternative (docs/seccomp.md)."""
    # An argument of a 32 bit table has 32 bits.
    mask = _FULL if call.table == "X86_64" else 0xFFFFFFFF
    met = [
        _COMPARE[arg["op"].removeprefix("SCMP_CMP_")](
            call.args[arg["index"]] & mask, arg["value"] & mask, arg.get("valueTwo", 0) & mask
        )
        for arg in args
    ]
    alternatives = len({arg["index"] for arg in args}) < len(args)
    return any(met) if alternatives else all(met)


def _conditions() -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.builds(
        lambda index, operator, value, second: {
            "index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second
        },
        st.integers(0, 2), st.sampled_from(list(_COMPARE)), st.sampled_from(WORDS),
        st.sampled_from(WORDS),
    )  # fmt: skip
    apart = st.lists(one, max_size=3, unique_by=lambda arg: arg["index"])
    # The same condition twice would be the same rule twice.
    alike = st.lists(one, min_size=2, max_size=2, unique_by=str).map(
        lambda two: [{**arg, "index": two[0]["index"]} for arg in two]
    ).filter(lambda two: two[0] != two[1])  # fmt: skip
    return st.one_of(apart, alike)


@st.composite
def profiles(
    draw: st.DrawFn,
    names: Sequence[str] | None = None,
    actions: Sequence[str] = tuple(ACTIONS),
    defaults: Sequence[str] = tuple(ACTIONS),
    errnos: tuple[int, int] = (1, 4094),
) -> Made:
    """A valid profile about ``names`` (None: any of those above), and calls that it tells apart.

    The same conditions have one action, as they must.
    """
    architectures = draw(st.lists(st.sampled_from(TABLES), max_size=3, unique=True))
    possible = [*EVERYWHERE, *([] if "X86" in architectures else NOT_ON_I386)]
    pool = possible if names is None else list(names)
    chosen = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=12))
    rules = []
    taken: dict[tuple[str, tuple[str, ...]], int] = {}
    for name in chosen:
        action = draw(st.sampled_from(actions))
        rule: dict[str, Any] = {"names": [name], "action": f"SCMP_ACT_{action}"}
        if args := draw(_conditions()):
            rule["args"] = args
        if action in CARRY_A_VALUE:
            rule["errnoRet"] = draw(st.integers(*errnos))
        value = _value(rule["action"], rule.get("errnoRet"))
        keys = [(name, choice) for choice in _choices(args)]
        if all(taken.get(key, value) == value for key in keys):
            taken.update(dict.fromkeys(keys, value))
            rules.append(rule)
    default = draw(st.sampled_from(defaults))
    made: dict[str, Any] = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}
    if default == "ERRNO":
        made["defaultErrnoRet"] = draw(st.integers(*errnos))
    if architectures:
        made["architectures"] = [f"SCMP_ARCH_{name}" for name in architectures]
    args = tuple(draw(st.lists(st.sampled_from(WORDS), min_size=3, max_size=3)))
    asked = []
    for table in TABLES:
        known = numbers(table)
        audit = AUDIT_I386 if table == "X86" else AUDIT_X86_64
        if names is None:
            base = X32_BIT if table == "X32" else 0
            edges = [base + number for number in (0, 449, 450, 451, 600, 1000, 0xFFFFF)]
            asked += [Call(table, number, audit, args) for number in edges]
        asked += [Call(table, known[name], audit, args) for name in pool if name in known]
    asked += [Call("AARCH64", number, AUDIT_AARCH64, args) for number in (0, 34, 221)]
    return Made(made, tuple(asked))


def run(program: bytes, call: Call) -> int:
    """What the kernel makes of ``call``: every instruction that seccomp(2) takes (linux/filter.h).

    Raises ``IndexError`` for a program that runs off its end, ``ValueError`` for an instruction
    that the kernel would refuse.
    """
    args = [*call.args, *[0] * (6 - len(call.args))]
    data = struct.pack("=IIQ6Q", call.number & 0xFFFFFFFF, call.audit, 0, *args)
    code = list(struct.iter_unpack("=HBBI", program))
    at = a = x = 0
    memory = [0] * 16
    while True:
        operation, then, otherwise, k = code[at]
        at += 1
        kind, mode = operation & 0x07, operation & 0xE0
        source = x if operation & 0x08 else k
        if operation == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (a,) = struct.unpack_from("=I", data, k)
        elif kind in (0x00, 0x01) and mode in (0x00, 0x60, 0x80):
            loaded = {0x00: k, 0x60: memory[k & 15], 0x80: len(data)}[mode]
            a, x = (loaded, x) if kind == 0x00 else (a, loaded)
        elif operation in (0x02, 0x03):  # BPF_ST, BPF_STX
            memory[k] = a if operation == 0x02 else x
        elif kind == 0x04:
            a = _ALU[operation & 0xF0](a, source) & 0xFFFFFFFF
        elif operation == 0x05:  # BPF_JMP | BPF_JA
            at += k
        elif kind == 0x05:
            at += then if _JUMP[operation & 0xF0](a, source) else otherwise
        elif operation in (0x06, 0x16):  # BPF_RET of k, of A
            return int(k if operation == 0x06 else a)
        elif operation in (0x07, 0x87):  # BPF_TAX, BPF_TXA
            a, x = (a, a) if operation == 0x07 else (x, x)
        else:
            raise ValueError(f"no instruction of seccomp(2): {operation:#x}")


_ALU: dict[int, Callable[[int, int], int]] = {
    0x00: lambda a, b: a + b, 0x10: lambda a, b: a - b, 0x20: lambda a, b: a * b,
    0x30: lambda a, b: a // b if b else 0, 0x40: lambda a, b: a | b, 0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31), 0x70: lambda a, b: a >> (b & 31), 0x80: lambda a, b: -a,
    0xA0: lambda a, b: a ^ b,
}  # fmt: skip
_JUMP: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, b: a == b, 0x20: lambda a, b: a > b, 0x30: lambda a, b: a >= b,
    0x40: lambda a, b: bool(a & b),
}  # fmt: skip
