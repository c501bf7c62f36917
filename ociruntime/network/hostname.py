"""The container's id as its host name, where the configuration names none: what people expect who
know Docker.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.constants import CLONE_NEWUTS
from ociruntime.kernel.kernel import Kernel

# __NEW_UTS_LEN, and what a label of DNS may have (RFC 1035 2.3.4).
LONGEST = 63


def set_hostname(pid: int, container_id: str) -> None:
    """Name the UTS namespace of process ``pid`` after its container. Raises ``OciError``.

    The calling process is in that namespace from then on.
    """
    try:
        fd = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_ino == os.stat("/proc/self/ns/uts").st_ino:
                raise OciError(
                    "the container has the host's UTS namespace: naming it would rename the host; "
                    "add a namespace of type uts, or drop --hostname-from-id"
                )
            kernel = Kernel()
            kernel.setns(fd, CLONE_NEWUTS)
            kernel.sethostname(container_id[:LONGEST])
        finally:
            os.close(fd)
    except OSError as error:
        raise OciError(f"the host name cannot be set: {error.strerror}") from None
