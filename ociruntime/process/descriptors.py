"""Descriptors that the caller hands to the container, and those that it does not."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
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


def take_streams(run: Run, others: list[int]) -> None:
    """In a child: take on ``run.streams``, and in one of a resident process close for real what is
    neither of this run nor among ``others``. Without streams nothing happens.
    """
    if not run.streams:
        return
    kernel = run.kernel
    for number, fd in enumerate(run.streams):
        if fd != number:
            kernel.dup3(fd, number)
    if run.keeps:
        return
    first = STREAMS
    for fd in kept(run, others):
        if fd > first:
            kernel.close_from(first, fd - 1)
        first = max(first, fd + 1)
    kernel.close_from(first)


def kept(run: Run, others: list[int]) -> list[int]:
    """What stays open in such a child, ascending."""
    return sorted({*run.fds.values(), *run.host_fds, *others})


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
