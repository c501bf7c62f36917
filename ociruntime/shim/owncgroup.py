"""The cgroup of the daemon itself (runc's option ShimCgroup)."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.path import split
from ociruntime.errors import StepError
from ociruntime.kernel.kernel import Kernel


def move(pid: int, path: str) -> None:
    """Move process ``pid`` to the cgroup ``path``, made where it is missing, in every hierarchy.
    Raises ``StepError``.
    """
    for hierarchy in detect(Kernel()).hierarchies:
        directory = "/".join([hierarchy.mountpoint, *split(path, "")])
        try:
            os.makedirs(directory, 0o755)
            fd = os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise StepError(f"ShimCgroup {directory}", error.errno or 0) from None
