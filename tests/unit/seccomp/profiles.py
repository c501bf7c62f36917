"""Profiles for the tests: what engines write, small."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

ALLOW, ERRNO, KILL_THREAD, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0, 0x80000000
TRAP, TRACE, LOG, NOTIFY = 0x00030000, 0x7FF00000, 0x7FFC0000, 0x7FC00000
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38
X86_64, I386, X32_BIT = 0xC000003E, 0x40000003, 0x40000000

needs_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")


def rule(names: str, action: str = "ALLOW", **properties: Any) -> dict[str, Any]:
    """One element of syscalls; ``names`` separated by blanks."""
    return {"names": names.split(), "action": f"SCMP_ACT_{action}", **properties}


def condition(index: int, operator: str, value: int, second: int = 0) -> dict[str, Any]:
    """One element of args."""
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}


def profile(
    default: str, *rules: dict[str, Any], architectures: Sequence[str] = (), **properties: Any
) -> dict[str, Any]:
    """linux.seccomp."""
    made: dict[str, Any] = {"defaultAction": f"SCMP_ACT_{default}", **properties}
    if rules:
        made["syscalls"] = list(rules)
    if architectures:
        made["architectures"] = [f"SCMP_ARCH_{name}" for name in architectures]
    return made
