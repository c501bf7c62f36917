"""ENOSYS above the highest known number, and nothing else changed."""

from __future__ import annotations

import pytest

from ociruntime.seccomp import bpf
from ociruntime.seccomp.prelude import Table, prelude

from .profiles import ALLOW, ENOSYS, I386, LOG, X32_BIT, X86_64

REST = 0x1234
"""What the program behind the prelude returns."""
ARM64 = 0xC00000B7


def table(audit: int, highest: int, base: int = 0, *rules: tuple[int, int]) -> Table:
    made = Table(audit, base)
    made.highest = highest
    made.rules = list(rules)
    return made


def returned(tables: list[Table], number: int, audit: int = X86_64, future: bool = True) -> int:
    code = prelude(tables, future=future) + bpf.assemble([bpf.ret(REST)])
    return bpf.evaluate(code, number, audit)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, REST),
        (449, REST),
        (450, ENOSYS),
        (X32_BIT - 1, ENOSYS),
        (X32_BIT, REST),
        (X32_BIT + 450, REST),
        (-1, REST),
    ],
)
def test_without_x32_its_numbers_stay_with_libseccomp(number: int, expected: int) -> None:
    assert returned([table(X86_64, 449)], number) == expected


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (449, REST),
        (450, ENOSYS),
        (X32_BIT, REST),
        (X32_BIT + 300, REST),
        (X32_BIT + 301, ENOSYS),
        (-1, ENOSYS),
    ],
)
def test_with_x32(number: int, expected: int, order: int) -> None:
    tables = [table(X86_64, 449), table(X86_64, X32_BIT + 300, X32_BIT)][::order]
    assert returned(tables, number) == expected


def test_each_architecture_has_its_own_highest() -> None:
    tables = [table(X86_64, 100), table(I386, 200), table(ARM64, 300)]
    for audit, highest in ((X86_64, 100), (I386, 200), (ARM64, 300)):
        assert returned(tables, highest, audit) == REST
        assert returned(tables, highest + 1, audit) == ENOSYS
    assert returned(tables, 1000, 0x40000028) == REST


def test_no_name_known_means_no_answer() -> None:
    assert prelude([table(X86_64, -1)], future=True) == b""
    assert returned([table(X86_64, -1), table(I386, 5)], 1000) == REST


def test_nothing_to_say_is_no_code() -> None:
    assert prelude([table(X86_64, 449)], future=False) == b""


def test_rules_come_before_enosys_and_hold_for_their_table_only() -> None:
    tables = [table(X86_64, 462, 0, (462, ALLOW), (460, LOG)), table(I386, 400)]
    assert returned(tables, 462) == ALLOW
    assert returned(tables, 460) == LOG
    assert returned(tables, 461) == REST
    assert returned(tables, 463) == ENOSYS
    assert returned(tables, 462, I386) == ENOSYS
    assert returned(tables, 462, future=False) == ALLOW
    assert returned(tables, 463, future=False) == REST


def test_long_blocks_are_jumped_over() -> None:
    rules = [(number, ALLOW) for number in range(500)]
    tables = [table(I386, 499, 0, *rules), table(X86_64, 10)]
    assert returned(tables, 5) == REST
    assert returned(tables, 11) == ENOSYS
    assert returned(tables, 499, I386) == ALLOW
