"""Walks a plan through two processes.

Both processes hold the same list of steps. The host side executes its own; where container side
steps follow, it says ``go(start, end)`` and waits. So the order of the list is the order in which
things happen, whoever does them, and the plan that ``ociruntime plan`` prints is the protocol.

A failing step fails the whole: everything that was executed is undone in reverse order, and the
error names the step, its operand, the errno and the cure (runtime.md#errors).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError, StepError
from ociruntime.plan.step import CONTAINER, HOST
from ociruntime.process.channel import Closed
from ociruntime.steps.execinit import ExecInit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ociruntime.plan.step import Step
    from ociruntime.process.channel import Failure
    from ociruntime.process.run import Run


# A process that has closed its channel has nothing left to do.
ENDING_SECONDS = 5.0


def execute(run: Run) -> None:
    """Execute the whole plan of ``run`` from the host side, or leave nothing behind, no descriptor
    either, and raise ``OciError``.
    """
    for _ in progress(run):
        pass  # what follows waits


def progress(run: Run) -> Iterator[int]:
    """The same for those who have other things to do: each descriptor that comes becomes readable
    when there is a reason to go on.
    """
    executed: list[Step] = []
    try:
        yield from _walk(run, executed)
    except BaseException as error:
        told = explain(executed[-1], error) if isinstance(error, OSError) else error
        before = len(run.warnings)
        undo(run, executed)
        run.close()
        if isinstance(told, OciError):
            told.left = run.warnings[before:]
        if told is not error:
            raise told from None
        raise


def undo(run: Run, executed: list[Step]) -> None:
    """Take back the executed steps that the host side can undo, the last one first."""
    for step in reversed(executed):
        try:
            step.undo(run)
        except (OSError, OciError) as error:
            run.warnings.append(f"cannot undo: {step.label}: {error}")


def _walk(run: Run, executed: list[Step]) -> Iterator[int]:
    steps = run.steps
    index = 0
    while index < len(steps):
        step = steps[index]
        if step.side == HOST:
            executed.append(step)
            if step.listens:
                yield from step.listen(run)
            step.execute(run)
            if run.observer:
                run.observer(HOST, index, step)
            index += 1
        else:
            end = index + 1
            while end < len(steps) and steps[end].side == CONTAINER and not steps[end].host_undoes:
                end += 1
            if step.host_undoes:
                executed.append(step)
            yield _ask(run, index, end)
            delegate(run, index, end)
            index = end


def _ask(run: Run, start: int, end: int) -> int:
    """Have init execute ``steps[start:end]``; the descriptor that it answers on."""
    channel = run.channel
    assert channel is not None
    try:
        channel.go(start, end)
    except Closed:
        pass  # so it has nothing to say, as ``delegate`` will find
    return channel.fileno()


def delegate(run: Run, start: int, end: int) -> None:
    """Wait until init has executed ``steps[start:end]``; raises what went wrong there."""
    channel = run.channel
    assert channel is not None
    last = run.steps[end - 1]
    failure: Failure | None = None
    try:
        failure = channel.wait_done(run.warnings, run.stubs)
    except Closed:
        # One that has to wait has said that it would go: it may have been killed before.
        if not isinstance(last, ExecInit) or (last.wait and not channel.left):
            raise OciError(death(run, run.steps[start])) from None
    if failure is not None:
        if failure.number:
            raise StepError(failure.label, failure.number, failure.detail)
        raise OciError(failure.detail)
    # A program that runs at once may have ended by now; one that waits for `start` must not have.
    if isinstance(last, ExecInit) and last.wait and _ended(run):
        raise OciError(death(run, run.steps[start]))


def _ended(run: Run) -> bool:
    """Whether init is dead already."""
    return run.pidfd >= 0 and run.kernel.has_ended(run.pidfd)


def death(run: Run, step: Step) -> str:
    """The words for an init that vanished without a message."""
    return f"the container's init process died at or after: {step.label}{how_it_ended(run)}"


def how_it_ended(run: Run) -> str:
    """What is known about the end of a process that vanished without a message; it is reaped."""
    if run.pidfd < 0:
        return ""
    if not run.kernel.ends_within(run.pidfd, ENDING_SECONDS):
        return "; it is not dead, and says nothing"
    code, status = run.kernel.wait_pidfd(run.pidfd)
    run.pid = 0
    if code == 1:
        return f"; it exited with status {status}"
    hint = "; a memory limit or the host's memory may be too small" if status == 9 else ""
    return f"; it was killed by signal {status}{hint}"


def explain(step: Step, error: OSError) -> StepError:
    """The step's own words around what the kernel said."""
    number, detail = reason(step, error)
    return StepError(step.label, number, detail)


def reason(step: Step, error: OSError) -> tuple[int, str]:
    """Errno and detail: the step's explanation first, else what the kernel or our check said beyond
    the errno.
    """
    number = error.errno or 0
    said = error.strerror or ""
    if said == os.strerror(number):
        said = ""
    cure = step.explain(number)
    if said and cure:
        return number, f"{said}; {cure}"
    return number, cure or said
