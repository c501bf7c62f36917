"""What oci-exec and the process that it makes report, in the words of the steps that do the same
for a container's first process. Imported when there is something to say.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.join import join_error
from ociruntime.errors import OciError, StepError
from ociruntime.kernel import block as b
from ociruntime.process import report as of_init
from ociruntime.process.environment import settled
from ociruntime.process.executor import explain
from ociruntime.process.spawn import clone_error, refused
from ociruntime.steps.prepare_exec import STALE_ROOT
from ociruntime.steps.process import (
    EnterDirectory,
    NewKeyring,
    NewSession,
    candidates,
    no_program,
    outside,
    problem_words,
)
from ociruntime.steps.rootfs import GROUPS_FORBIDDEN, BecomeRoot, JoinCgroupNamespace
from ociruntime.steps.spawn import Spawn
from ociruntime.steps.streams import OwnStreams
from ociruntime.steps.terminal import OpenTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.kernel.block import Report
    from ociruntime.process.run import Run
    from ociruntime.process.step import Step
    from ociruntime.steps.enter import EnterContainer

NO_MULTIPLEXER = "/dev/pts/ptmx is not the multiplexer of a devpts"
NOT_TAKEN = "whoever listened on the console socket closed it without taking the terminal"
AFFINITY = "process.execCPUAffinity.initial"


def explain_note(report: Report) -> str:
    """The warning that a note of the process is."""
    if report.stage == b.STAGE_GROUPS:
        return GROUPS_FORBIDDEN
    return f"no session keyring of its own: {os.strerror(report.errno)}"


def explain_report(step: EnterContainer, run: Run, report: Report) -> OciError:
    """The error for a failure of oci-exec or its process."""
    stage, number = report.stage, report.errno
    if stage < b.STAGE_JOIN:
        return OciError(of_init.explain_report(report, step.process))
    error = OSError(number, os.strerror(number))
    if stage == b.STAGE_JOIN:
        return refused(f"joining container {step.container_id}", error)
    if stage == b.STAGE_CLONE:
        found = clone_error(run, error)
        return found if isinstance(found, OciError) else explain(_spawn(step), error)
    if stage == b.STAGE_CGROUP and report.detail < len(step.joins):
        return join_error(step.joins[report.detail], error)
    if stage == b.STAGE_OUTSIDE:
        return outside(EnterDirectory(step.process["cwd"]))
    if stage == b.STAGE_PROGRAM:
        paths = candidates(step.program, settled(step.process.get("env") or ()))
        path = (paths[report.detail :] or paths)[0]
        return no_program(step.program, path, problem_words(number))
    if stage in PLAIN:
        label, detail = PLAIN[stage]
        return StepError(label, number, detail)
    if stage == b.STAGE_ROOT:
        return StepError("the container's root", number, STALE_ROOT.get(number, ""))
    if stage == b.STAGE_CPUS:
        from ociruntime.steps.attributes import explain_cpus

        return StepError(AFFINITY, number, explain_cpus(number))
    for execution in step.execution:
        if execution.reported == stage:
            return explain(execution, error)
    return explain(_steps(step).get(stage, lambda: step)(), error)


# label and detail
PLAIN = {
    b.STAGE_PROC: ("/proc", "it is not a proc filesystem"),
    b.STAGE_MULTIPLEXER: ("process.terminal", NO_MULTIPLEXER),
    b.STAGE_CONSOLE: ("process.terminal", NOT_TAKEN),
}


def _steps(step: EnterContainer) -> dict[int, Callable[[], Step]]:
    """Which step would have done it, by the report's stage."""
    process = step.process
    return {
        b.STAGE_CGROUP_NS: lambda: JoinCgroupNamespace(""),
        b.STAGE_USER_NS: lambda: BecomeRoot(setgroups=step.setgroups),
        b.STAGE_SESSION: NewSession,
        b.STAGE_KEYRING: lambda: NewKeyring(step.container_id),
        b.STAGE_STREAMS: lambda: OwnStreams(step.identity.uid),
        b.STAGE_DIRECTORY: lambda: EnterDirectory(process["cwd"]),
        b.STAGE_TERMINAL: lambda: OpenTerminal(0, 0),
    }


def _spawn(step: EnterContainer) -> Spawn:
    """The step that clones a container's first process."""
    spawn = Spawn([], 0, [("container", step.namespaces)], None, [], [], privileged=True)
    spawn.label = f"joining container {step.container_id}"
    return spawn
