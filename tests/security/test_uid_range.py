"""CVE-2024-40635's class: a uid or gid is the number that is asked for, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

SCRIPT = "grep -E '^(Uid|Gid|Groups):' /proc/self/status"
FITS = (2147483647, 2147483648, 4294967294)
TOO_LARGE = (4294967295, 4294967296, 2**33, 2**63, 2**64, -1, 1.5)


@pytest.mark.parametrize("value", FITS)
def test_fits(runtime: Runtime, bundle: MakeBundle, value: int) -> None:
    made = bundle(process={"user": {"uid": value, "gid": value, "additionalGids": [value]}})
    output = attempt(runtime, made, SCRIPT)
    assert output is not None
    expected = [["Uid:"] + [str(value)] * 4, ["Gid:"] + [str(value)] * 4]
    lines = [line.split() for line in output.splitlines()]
    assert lines == [*expected, ["Groups:", str(value)]]


@pytest.mark.parametrize("value", TOO_LARGE)
@pytest.mark.parametrize("key", ["uid", "gid", "additionalGids"])
def test_out_of_range(runtime: Runtime, bundle: MakeBundle, key: str, value: float) -> None:
    """Refused, naming the property."""
    user = {"uid": 1000, "gid": 1000, key: [value] if key == "additionalGids" else value}
    made = bundle(process={"user": user})
    words = [key] if abs(value) < 2**63 else []  # above, the parser stops at the place
    assert_clear(runtime, runtime.run(made.shell(SCRIPT)), *words)
