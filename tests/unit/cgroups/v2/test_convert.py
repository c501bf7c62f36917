"""The arithmetic from v1 to v2."""

from __future__ import annotations

import pytest

from ociruntime.cgroups.v2.convert import cpu_max, cpu_weight, io_weight, limit, swap_max
from ociruntime.errors import PlanError


@pytest.mark.parametrize(
    ("shares", "weight"),
    # The three fixed points, the ends of the range, and values computed with 50 digits.
    [(1, 1), (2, 1), (3, 2), (10, 4), (128, 21), (256, 35), (512, 59), (1024, 100), (1025, 101),
     (2048, 174), (4096, 303), (102400, 4429), (262143, 10000), (262144, 10000), (2**60, 10000)],
)  # fmt: skip
def test_cpu_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_cpu_weight_grows_and_stays_in_range() -> None:
    weights = [cpu_weight(2**n) for n in range(1, 19)]
    assert weights == sorted(weights)
    assert all(1 <= weight <= 10000 for weight in weights)


@pytest.mark.parametrize(
    ("quota", "period", "text"),
    [(50000, None, "50000 100000"), (50000, 20000, "50000 20000"), (-1, 20000, "max 20000"),
     (None, 20000, "max 20000"), (0, 20000, "max 20000")],
)  # fmt: skip
def test_cpu_max(quota: int | None, period: int | None, text: str) -> None:
    assert cpu_max(quota, period) == text


@pytest.mark.parametrize(("weight", "expected"), [(10, 1), (100, 910), (500, 4950), (1000, 10000)])
def test_io_weight(weight: int, expected: int) -> None:
    assert io_weight(weight) == expected


@pytest.mark.parametrize(
    ("memory", "swap", "expected"),
    [
        (100, 300, 200), (100, 100, 0), (100, -1, -1), (None, -1, -1), (-1, -1, -1), (-1, None, -1),
        (-1, 0, -1), (100, 0, None), (100, None, None), (None, None, None), (None, 0, None),
    ],
)  # fmt: skip
def test_swap_max(memory: int | None, swap: int | None, expected: int | None) -> None:
    assert swap_max(memory, swap) == expected


@pytest.mark.parametrize(("memory", "swap"), [(None, 5), (0, 5), (10, 5), (-1, 5)])
def test_swap_without_or_below_memory(memory: int | None, swap: int) -> None:
    with pytest.raises(PlanError) as caught:
        swap_max(memory, swap)
    assert caught.value.pointer == "/linux/resources/memory/swap"


def test_limit() -> None:
    assert [limit(-1), limit(5)] == ["max", "5"]
