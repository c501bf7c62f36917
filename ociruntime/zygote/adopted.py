"""The kernel of a zygote's child whose containers are the zygote's children.

A child that makes containers goes on to make others, while the first processes of those that it has
made live and end: it could not tell of their ends in time. So oci-setup, which clones a container's
first process and ends at once, leaves it to the zygote, the subreaper (prctl(2)); and the zygote
waits for nobody whom a child that is at work may still report, so that its number stays its own.
"""

from __future__ import annotations

from select import POLLIN, poll

from ociruntime.kernel.kept import told_by_proc
from ociruntime.kernel.kernel import Kernel


class AdoptedKernel(Kernel):
    """Waits for its own children as ``Kernel`` does, and looks at the zygote's."""

    parenthood = 0

    def wait_pidfd(self, pidfd: int) -> tuple[int, int]:
        try:
            return super().wait_pidfd(pidfd)
        except ChildProcessError:
            poller = poll()
            poller.register(pidfd, POLLIN)
            poller.poll()
            return told_by_proc(pidfd)

    def has_ended(self, pidfd: int) -> bool:
        try:
            return super().has_ended(pidfd)
        except ChildProcessError:
            poller = poll()
            poller.register(pidfd, POLLIN)
            return bool(poller.poll(0))
