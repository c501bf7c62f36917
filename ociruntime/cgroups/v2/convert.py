"""Values of the config, which are cgroup v1's, as cgroup v2 takes them. Pure functions.

Sources: Documentation/admin-guide/cgroup-v2.rst; config-linux.md, "Control groups"; the table in
docs/cgroups.md.
"""

from __future__ import annotations

import math  # built into the interpreter, as time is: costs nothing

from ociruntime.cgroups.sections import MAX_SHARES, MIN_SHARES
from ociruntime.errors import PlanError

UNLIMITED = -1
DEFAULT_PERIOD = 100000  # us, cgroup-v2.rst, cpu.max

MAX_WEIGHT = 10000


def cpu_weight(shares: int) -> int:
    """cpu.shares (2 to 262144, usual 1024) as cpu.weight (1 to 10000, usual 100).

    A curve through (2, 1), (1024, 100) and (262144, 10000), quadratic in the logarithm, so that the
    usual shares get the usual weight: weight = ceil(10 ** ((l**2 + 125 * l) / 612 - 7 / 34)) with l
    = log2(shares).
    """
    if shares <= MIN_SHARES:
        return 1
    if shares >= MAX_SHARES:
        return MAX_WEIGHT
    exponent = math.log2(shares)
    power = (exponent * exponent + 125 * exponent) / 612 - 7 / 34
    weight: float = 10.0**power
    whole = int(weight)
    # 10**2.0 may come out a hair above 100.
    return whole if weight - whole < 1e-9 else whole + 1


def cpu_max(quota: int | None, period: int | None) -> str:
    """cpu.max for a quota and a period in microseconds; no or a negative quota is no limit."""
    amount = "max" if quota is None or quota <= 0 else str(quota)
    return f"{amount} {period or DEFAULT_PERIOD}"


def limit(value: int) -> str:
    """A limit of bytes or numbers: -1 is ``max``."""
    return "max" if value == UNLIMITED else str(value)


def swap_max(memory: int | None, swap: int | None) -> int | None:
    """memory.swap.max for v1's limit of memory plus swap, all in bytes; None for "do not touch".

    Unlimited memory without a word about swap means unlimited swap too, as the v1 limit includes
    memory. Raises
    ``PlanError`` when the difference makes no sense.
    """
    pointer = "/linux/resources/memory/swap"
    if memory == UNLIMITED and not swap:
        return UNLIMITED
    if swap is None or swap in (0, UNLIMITED):
        return swap or None
    if memory is None or memory == 0:
        raise PlanError(
            f"linux.resources.memory.swap: {swap} includes memory, but there is no memory.limit",
            pointer,
            "set linux.resources.memory.limit too",
        )
    if memory == UNLIMITED or swap < memory:
        raise PlanError(
            f"linux.resources.memory.swap: {swap} includes memory and is below its limit {memory}",
            pointer,
            "raise swap to at least the limit; equal means no swap at all",
        )
    return swap - memory


def io_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) as io.weight (1 to 10000), linearly."""
    return 1 + (weight - 10) * 9999 // 990
