"""Entering a cgroup: by oneself, and why it may be refused."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.explain import explain_write
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place
    from ociruntime.kernel.inside import Inside


def join_self(kernel: Inside, place: Place, fd: int) -> None:
    """Have a process of one thread move itself into a cgroup by an fd of ``open_to_join``, which it
    closes.

    A thread that moves itself needs no protection against its own end: no grace period. The kernel
    judges by the credentials with which the fd was opened, so a process in a new user namespace may
    do this.
    """
    def explain(number: int, _value: int, _text: bytes) -> StepError:
        return join_error(place, OSError(number, os.strerror(number)))

    kernel.call("write", fd, bytearray(b"0"), 1, explain=explain)
    kernel.close(fd)


def join_error(place: Place, error: OSError) -> StepError:
    """The refusal to let a process in."""
    number = error.errno or 0
    detail = explain_write("cgroup.procs", "", number)
    return StepError(f"cgroup {place.directory} (cgroup.procs)", number, detail)
