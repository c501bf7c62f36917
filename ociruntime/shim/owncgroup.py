"""The cgroup of the daemon itself (runc's option ShimCgroup)."""

from __future__ import annotations

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.path import place
from ociruntime.errors import OciError
from ociruntime.kernel.kernel import Kernel


def move(pid: int, path: str) -> None:
    """Move process ``pid`` to the cgroup ``path`` in every hierarchy; other shims may be in it.

    It is made where it is missing, and stays. Raises ``OciError``, and leaves nothing new then.
    """
    kernel = Kernel()
    try:
        group = open_group(kernel, place(detect(kernel), "/" + path.lstrip("/"), ""))
        try:
            group.make()
            group.join(pid)
        except BaseException:
            group.remove()
            raise
        finally:
            group.close()
    except OciError as error:
        raise OciError(f"ShimCgroup {path}: {error}") from None
