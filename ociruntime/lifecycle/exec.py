"""exec: one more process in a container (runc's and crun's extension of the specification).

It gets what the container's first process got, from the same config; only the namespaces and the
cgroup are joined instead of made. Everything in the container is hostile and running: nothing of
ours enters it but oci-exec's process, which is not dumpable before the first namespace is joined
(CVE-2016-9962) and whose executable is sealed (CVE-2019-5736).
"""

from __future__ import annotations

from ociruntime.errors import WrongStatus
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.exec import build, completed
from ociruntime.plan.host import read_powers
from ociruntime.process.descriptors import check_preserved
from ociruntime.process.executor import execute, progress
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from ociruntime.plan.requests import ExecRequest
    from ociruntime.process.run import Observer, Run
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container


# There is nothing to wait for, but others may be waiting.
AT_ONCE = (-1, 0)


def exec_process(
    container: Container,
    process: ProcessConfig,
    options: ExecRequest,
    observer: Observer | None = None,
) -> Run:
    """Run ``process`` (as config.json's) in the container; returns when its program has been
    executed, with ``pid`` and ``pidfd`` of it.

    Raises ``WrongStatus`` or ``OciError``; nothing of it is left then.
    """
    check_preserved(options.preserve_fds)
    run = plan(container, process, options, Kernel())
    run.observer = observer
    execute(run)
    return run


def exec_patiently(
    container: Container, process: ProcessConfig, options: ExecRequest, kernel: Kernel
) -> Generator[tuple[int, int], None, Run]:
    """``exec_process`` for those who have other things to do: it comes back each time with a
    descriptor that becomes readable when there is a reason to go on, and the process that will see
    to that; once, when half of the host's work is done, with ``AT_ONCE``.
    """
    run = plan(container, process, options, kernel)
    yield AT_ONCE
    for fd in progress(run):
        yield fd, run.pid
    return run


def plan(
    container: Container, process: ProcessConfig, options: ExecRequest, kernel: Kernel
) -> Run:
    """All that ``exec_process`` does. Raises ``OciError``."""
    check_status(container, ignore_paused=options.ignore_paused)
    return build(container, completed(container, process), options, kernel, read_powers())


def check_status(container: Container, *, ignore_paused: bool) -> None:
    """Only created and running containers can be joined, paused ones on request."""
    word = st.status(container)
    if word == st.STOPPED or word == st.CREATING:
        raise WrongStatus(f"cannot exec in a {word} container: {container.id}")
    if word == st.PAUSED and not ignore_paused:
        raise WrongStatus(
            "cannot exec in a paused container (use --ignore-paused to override): "
            f"{container.id}; or resume it"
        )
