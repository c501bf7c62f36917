"""The numbers of a program are looked up in a binary tree, which says what a list would say."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from ociruntime.kernel import libseccomp as binding
from ociruntime.seccomp import bpf
from ociruntime.seccomp.compiler import compile_program

from .profiles import (
    I386,
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
    assert most <= 40
