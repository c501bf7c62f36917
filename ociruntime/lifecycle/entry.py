"""exec by a resident process that has other things to do: nothing here waits for a container.

Where oci-exec can do what the config asks for, it does (``steps.enter``); else a copy of the caller
does, as for the command line.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from ociruntime.cgroups.detect import V2
from ociruntime.errors import OciError
from ociruntime.kernel import block
from ociruntime.kernel import constants as c
from ociruntime.lifecycle import tenant
from ociruntime.lifecycle.start import explain_report, read_report
from ociruntime.plan.attributes import label_checks, label_steps
from ociruntime.process.executor import progress, undo
from ociruntime.process.run import Run
from ociruntime.state import status as st
from ociruntime.steps.enter import EnterContainer, Proceed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.lifecycle.tenant import ExecOptions
    from ociruntime.state.store import Container


def is_patient(container: Container, process: dict[str, Any]) -> bool:
    """Whether ``exec_patiently`` can do it: nothing about the caller's own process is changed, and
    nobody else is talked to.
    """
    agent = container.data.get("seccomp_listener")
    return agent is None and not process.get("execCPUAffinity")


def exec_patiently(
    container: Container, process: dict[str, Any], options: ExecOptions, kernel: Kernel
) -> Generator[int, None, Run]:
    """``exec_process`` for a resident process: each descriptor that comes becomes readable when
    there is a reason to go on.

    ``options`` has streams, and neither a pid file nor sockets but ``console_fd``.
    """
    process = tenant.completed(container, process)
    if not can_enter(container, process, options):
        run = tenant.plan(container, process, options, kernel)
        yield from progress(run)
        try:
            yield run.fds["report"]
            tenant.read_result(run, process, container, None)
        finally:
            run.close()
        return run
    run, entry = _plan(container, process, options, kernel)
    yield from progress(run)
    try:
        channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds.pop("report"))
        try:
            yield from _result(run, entry, channel, container)
        except BaseException:
            undo(run, run.steps)
            raise
        finally:
            channel.close()
    finally:
        run.close()
    return run


def can_enter(container: Container, process: dict[str, Any], options: ExecOptions) -> bool:
    """Whether oci-exec can do it."""
    data = container.data
    label = process.get("apparmorProfile") or process.get("selinuxLabel")
    group = data.get("cgroup") or {}
    others = (
        process.get("terminal"),
        process.get("scheduler"),
        process.get("ioPriority"),
        data.get("every_process"),
        # In a user namespace the procfs for it may have to be a copy of another.
        label and "user" in data.get("namespaces", ()),
        # systemd may have to move the process where we may not, once it has joined the rest.
        group.get("unit") and group["mode"] != V2,
        options.pid_file,
        options.pidfd_socket,
        options.console_socket,
    )
    return not any(others)


def _plan(
    container: Container, process: dict[str, Any], options: ExecOptions, kernel: Kernel
) -> tuple[Run, EnterContainer]:
    tenant.check_status(container, ignore_paused=options.ignore_paused)
    run = Run(kernel, [])
    run.streams = options.streams
    data = container.data
    run.steps += label_checks(process, {}) + tenant.seccomp_steps(container, process)
    opening, flags, placement = tenant.opening_steps(container, options.cgroups, "oci-exec")
    identity = tenant.identity_of(container, process, run)
    entry = EnterContainer(
        container.id,
        flags & ~c.CLONE_NEWCGROUP,
        process,
        identity,
        user="user" in data.get("namespaces", ()),
        setgroups=bool(data.get("setgroups", True)),
        root=tenant.known_root(data),
    )
    label_steps(process, identity)  # oci-exec makes the procfs for it
    run.steps += [*opening, entry]
    if placement is not None and placement.unit is not None:
        from ociruntime.steps.unit import SettleUnit

        run.steps.append(SettleUnit(placement.unit))
    run.steps += [*tenant.outside_steps(container, process), Proceed()]
    return run, entry


def _result(
    run: Run, entry: EnterContainer, channel: socket, container: Container
) -> Generator[int, None, None]:
    """Wait until the program is executed; raises the reason why it is not."""
    entered = False
    while True:
        yield channel.fileno()
        report = read_report(channel, None, container, run.pid, st.RUNNING)
        if report is None and entered:
            return
        if report is None:
            raise OciError(
                f"{entry.label}: the process died before its program was executed; it was "
                "killed, or a memory limit is too small"
            )
        if report.is_note:
            run.warnings.append(entry.explain_note(report))
        elif report.stage == block.STAGE_ENTERED:
            entered = True
        else:
            break
    if report.stage >= block.STAGE_JOIN:
        raise entry.explain_report(run, report)
    raise OciError(explain_report(report, entry.process))
