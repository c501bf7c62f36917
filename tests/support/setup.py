"""A real oci-setup on this machine, in no namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ociruntime.kernel.inside import Inside
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.process.spawn import Namespaces, end_process, spawn
from ociruntime.steps.prepare import OpenInit


@contextmanager
def oci_setup(run: Run | None = None, cgroup_fd: int = -1) -> Iterator[Inside]:
    """The kernel as it sees it; it ends with the context. It has the descriptors of ``run``."""
    run = Run(Kernel(), []) if run is None else run
    OpenInit("oci-setup").execute(run)
    try:
        spawn(run, Namespaces(), cgroup_fd, lambda _: None)
        yield run.inner
    finally:
        if run.channel is not None:
            run.channel.close()
        end_process(run)
        run.close()
