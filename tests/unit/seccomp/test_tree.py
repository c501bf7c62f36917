"""The numbers of a program are looked up in a binary tree, which says what a list would say."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ociruntime.seccomp import bpf
from ociruntime.seccomp import libseccomp as binding
from ociruntime.seccomp.compiler import compile_program
from ociruntime.spec.tables import SECCOMP_ARCHITECTURES

from .profiles import (
    ALLOW,
    ERRNO,
    I386,
    KILL_PROCESS,
    LOG,
    X32_BIT,
    X86_64,
    condition,
    needs_x86_64,
    profile,
    rule,
)


def _has_trees() -> bool:
    try:
        version = binding.Library().version()
    except Exception:  # noqa: BLE001 - no library, no trees
        return False
    return tuple(map(int, version.split(".")[:2])) >= (2, 5)


pytestmark = [
    needs_x86_64,
    pytest.mark.skipif(not _has_trees(), reason="libseccomp is missing or older than 2.5"),
]

ARCHITECTURES = ("X86_64", "X86", "X32")
OTHER = 0xC00000B7  # AArch64, which none of the profiles names
MOST = 480
# Of all parts of the table; among them calls that x86 has by way of socketcall(2) and ipc(2).
NAMES = "read write open close mmap ioctl socket socketpair accept sendmsg shmget shmat semctl"
NAMES += " msgsnd clone clone3 execve execveat prctl arch_prctl personality mkdir mkdirat chown"
NAMES += " chown32 getrandom openat2 futex_waitv statx rseq io_uring_enter time stime fadvise64"
NAMES += " pread64 dup3"
# Above all of them in every table (x32 has some above 512).
NEWEST = "set_mempolicy_home_node pwritev2"


class Listing(binding.Filter):
    def use_tree(self) -> None:
        pass


def both(made: dict[str, Any]) -> tuple[bytes, bytes]:
    """``made`` as a tree and as a list."""
    tree = compile_program(made).code
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binding, "Filter", Listing)
        return tree, compile_program(made).code


def calls() -> list[tuple[int, int]]:
    """(number, audit) of all that a program tells apart."""
    found = [(number, audit) for number in range(MOST) for audit in (X86_64, I386, OTHER)]
    found += [(X32_BIT + number, X86_64) for number in range(600)]
    edges = (0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 0x80000000, 0x3FFFFFFF)
    return found + [(number, audit) for number in edges for audit in (X86_64, I386)]


def as_engines_do() -> dict[str, Any]:
    library = ctypes.CDLL(binding.SONAME)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    names = [library.seccomp_syscall_resolve_num_arch(0, number) for number in range(MOST)]
    known = " ".join(name.decode() for name in names if name and name[:2] != b"cl")
    flags = condition(0, "MASKED_EQ", 0x7E020000)
    persona = [rule("personality", args=[condition(0, "EQ", value)]) for value in (0, 8, 0x20008)]
    rules = [rule(known), rule("clone", args=[flags]), rule("clone3", "ERRNO", errnoRet=38)]
    return profile("ERRNO", *rules, *persona, architectures=ARCHITECTURES)


def test_what_engines_write_is_the_same() -> None:
    made = as_engines_do()
    tree, listing = both(made)
    assert tree != listing
    for args in ((), (0x10000000,), (8,), (0xFFFFFFFF,), (1 << 40,)):
        for number, audit in calls() if not args else [(56, X86_64), (120, I386), (135, X86_64)]:
            expected = bpf.evaluate(listing, number, audit, args)
            assert bpf.evaluate(tree, number, audit, args) == expected, (number, audit, args)


def test_no_call_needs_many_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel runs the program for every number when it is loaded."""
    code = compile_program(as_engines_do()).code
    compared = 0
    holds = bpf._holds

    def counting(operation: int, accumulator: int, value: int) -> bool:
        nonlocal compared
        compared += 1
        return holds(operation, accumulator, value)

    monkeypatch.setattr(bpf, "_holds", counting)
    most = 0
    for number, audit in calls():
        before = compared
        bpf.evaluate(code, number, audit)
        most = max(most, compared - before)
    assert most <= 30


OPERATORS: dict[str, Callable[[int, int, int], bool]] = {
    "EQ": lambda given, value, _: given == value,
    "NE": lambda given, value, _: given != value,
    "LT": lambda given, value, _: given < value,
    "LE": lambda given, value, _: given <= value,
    "GE": lambda given, value, _: given >= value,
    "GT": lambda given, value, _: given > value,
    "MASKED_EQ": lambda given, mask, value: given & mask == value & mask,
}
WORDS = st.sampled_from([0, 1, 2, 8, 0x7FFFFFFF, 0xFFFFFFFF, 0x100000000, 0x100000001])
Rule = tuple[str, int, int, list[tuple[int, str, int, int]]]


def rules() -> st.SearchStrategy[list[Rule]]:
    """(name, action, its errno, conditions), each name once and each argument once in a rule."""
    conditions = st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(list(OPERATORS)), WORDS, WORDS),
        max_size=2,
        unique_by=lambda entry: entry[0],
    )
    names, errnos = st.sampled_from(NAMES.split()), st.integers(2, 9)
    one = st.tuples(names, st.sampled_from([ERRNO, ALLOW, LOG]), errnos, conditions)
    return st.lists(one, min_size=1, max_size=12, unique_by=lambda entry: entry[0])


def as_document(rule_: Rule) -> dict[str, Any]:
    name, action, errno, conditions = rule_
    args = [condition(*entry) for entry in conditions]
    kind = {ERRNO: "ERRNO", ALLOW: "ALLOW", LOG: "LOG"}[action]
    return rule(name, kind, args=args, **({"errnoRet": errno} if action == ERRNO else {}))


def expected(made: list[Rule], token: int, name: str, args: list[int], default: int) -> int:
    """What the configuration says, read plainly."""
    # libseccomp looks at 32 bits of the arguments of x32, too.
    mask = 0xFFFFFFFFFFFFFFFF if token == X86_64 else 0xFFFFFFFF
    for ruled, action, errno, conditions in made:
        if ruled == name and all(
            OPERATORS[operator](args[index] & mask, value & mask, second & mask)
            for index, operator, value, second in conditions
        ):
            return action | errno if action == ERRNO else action
    return default


@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    st.sampled_from([("ERRNO", ERRNO | 1), ("ALLOW", ALLOW), ("KILL_PROCESS", KILL_PROCESS)]),
    rules(),
    st.sampled_from([("X86_64",), ("X86",), ("X86_64", "X32"), ARCHITECTURES]),
    st.lists(WORDS, min_size=3, max_size=3),
)
def test_the_program_does_what_the_rules_say(
    default: tuple[str, int], made: list[Rule], architectures: tuple[str, ...], args: list[int]
) -> None:
    documents = [as_document(one) for one in made]
    # Numbers above those that are named would be ENOSYS.
    last = rule(NEWEST, default[0])
    code = compile_program(profile(default[0], *documents, last, architectures=architectures)).code
    library = binding.Library()
    for name in NAMES.split():
        for architecture in {"X86_64", *architectures}:
            token = SECCOMP_ARCHITECTURES[f"SCMP_ARCH_{architecture}"]
            number = library.resolve(token, name)
            if number >= 0:
                audit = I386 if token == I386 else X86_64
                says = expected(made, token, name, args, default[1])
                assert bpf.evaluate(code, number, audit, args) == says, (name, architecture)


def test_a_condition_holds_for_the_first_call_of_a_table() -> None:
    """As a list, libseccomp 2.5.4 compares the architecture with the number here and lets the call
    pass: a rule without effect.
    """
    allowed = condition(1, "MASKED_EQ", 0xFF, 2)
    rules = [rule("socketpair", "ERRNO", args=[allowed]), rule("chown32", "ERRNO")]
    code = compile_program(profile("ALLOW", *rules, architectures=ARCHITECTURES)).code
    for number in (53, X32_BIT + 53):
        assert bpf.evaluate(code, number, X86_64, (1, 2)) == ERRNO | 1
        assert bpf.evaluate(code, number, X86_64, (1, 3)) == ALLOW
