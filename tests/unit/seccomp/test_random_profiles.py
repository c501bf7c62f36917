"""Random profiles: the program of each does what the profile says when it is read plainly."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import HealthCheck, given, settings

from ociruntime.kernel import libseccomp as binding
from ociruntime.seccomp.compiler import compile_program
from tests.support import filters
from tests.support.filters import Call, Made, profiles

from .profiles import needs_x86_64


def _has_libseccomp() -> bool:
    try:
        ctypes.CDLL(binding.SONAME)
    except OSError:
        return False
    return True


pytestmark = [
    needs_x86_64,
    pytest.mark.skipif(not _has_libseccomp(), reason="libseccomp.so.2 is not installed"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles())
def test_the_program_does_what_the_profile_says(made: Made) -> None:
    code = compile_program(made.profile).code
    for call in made.calls:
        assert filters.run(code, call) == made.says(call), (call, made.profile)


def test_the_reading_tells_profiles_apart() -> None:
    """What the property rests on, by hand."""
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7,
            "args": [{"index": 1, "op": "SCMP_CMP_GT", "value": 1 << 32}]}  # fmt: skip
    made = Made({"defaultAction": "SCMP_ACT_KILL", "syscalls": [rule]}, ())
    table = filters.numbers("X86_64")
    x86_64 = filters.AUDIT_X86_64
    assert made.says(Call("X86_64", table["mkdir"], x86_64, (0, (1 << 32) + 1, 0))) == 0x50007
    assert made.says(Call("X86_64", table["mkdir"], x86_64, (0, 1 << 32, 0))) == 0
    assert made.says(Call("X86_64", table["mkdir"] + 1, x86_64, (0, 0, 0))) == filters.ENOSYS
    assert made.says(Call("X86", 39, filters.AUDIT_I386, (0, (1 << 32) + 1, 0))) == 0
    assert filters.numbers("X32")["mkdir"] == filters.X32_BIT + table["mkdir"]
