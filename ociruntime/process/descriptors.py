"""Descriptors that the caller hands to the container, and those that it does not."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run

STREAMS = 3


def check_preserved(count: int, asked: str = "") -> None:
    """--preserve-fds, or what ``asked`` for them, names descriptors that exist; otherwise one of
    ours could take such a number.
    """
    for fd in range(3, 3 + count):
        try:
            # What a caller hands on survives execve(2); what does not is of our own making.
            inherited = os.get_inheritable(fd)
        except OSError:
            inherited = False
        if not inherited:
            raise UsageError(
                f"{asked or f'--preserve-fds {count}'}: descriptor {fd} is not open; pass "
                f"descriptors 3 to {2 + count}"
            )


def kept(run: Run, others: list[int]) -> list[int]:
    """What oci-setup is started with, ascending, and nothing else."""
    fds = set(run.fds.values()).difference(run.host_fds)
    return sorted({*fds, *range(STREAMS, STREAMS + run.preserve_fds), *others})


def close_all(kernel: Kernel, fds: list[int]) -> None:
    """Close them, those that follow one another at once."""
    ranges: list[list[int]] = []
    for fd in sorted(fds):
        if ranges and fd == ranges[-1][1] + 1:
            ranges[-1][1] = fd
        else:
            ranges.append([fd, fd])
    for first, last in ranges:
        kernel.close_from(first, last)


def close_others(kernel: Kernel, kept: Iterable[int]) -> None:
    """Close everything but these."""
    first = 0
    for fd in sorted(set(kept)):
        if fd > first:
            kernel.close_from(first, fd - 1)
        first = fd + 1
    kernel.close_from(first)
