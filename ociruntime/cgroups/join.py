"""Entering a cgroup: by oneself, and why it may be refused."""

from __future__ import annotations

from ociruntime.cgroups.explain import explain_write
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place
    from ociruntime.kernel.kernel import Kernel


def join_self(kernel: Kernel, place: Place, fd: int) -> None:
    """Move the calling process, which has one thread, into a cgroup by an fd of ``open_to_join``,
    which is closed.

    A thread that moves itself needs no protection against its own end: no grace period. The kernel
    judges by the credentials with which the fd was opened, so a process in a new user namespace may
    do this.
    """
    try:
        kernel.write(fd, b"0")
    except OSError as error:
        raise join_error(place, error) from None
    finally:
        kernel.close(fd)


def join_error(place: Place, error: OSError) -> StepError:
    """The refusal to let a process in."""
    number = error.errno or 0
    detail = explain_write("cgroup.procs", "", number)
    return StepError(f"cgroup {place.directory} (cgroup.procs)", number, detail)
