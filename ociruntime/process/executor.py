"""Walks a plan.

A step of the host side does what it says. One of the container side is compiled: its calls go into
a program (``kernel.inside``), which oci-setup carries out in the container before the next step of
the host, or where an answer is needed. So the order of the list is the order in which things
happen, wherever they do.

A failing step fails the whole: everything that was executed is undone in reverse order, and the
error names the step, its operand, the errno and the cure (runtime.md#errors).
"""

from __future__ import annotations

from ociruntime.errors import OciError, StepError
from ociruntime.kernel.inside import reason
from ociruntime.process.channel import Closed
from ociruntime.process.step import CONTAINER, HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ociruntime.kernel.inside import Asking
    from ociruntime.process.run import Run
    from ociruntime.process.step import Step


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
        told = error
        if isinstance(error, OSError):
            assert run.step is not None
            told = explain(run.step, error)
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
    for index, step in enumerate(steps):
        if step.side == HOST or step.host_undoes:
            executed.append(step)
        if step.side == CONTAINER:
            run.inner.step = step
        else:
            yield from _carry_out(run)
        run.step = step
        if step.listens:
            yield from step.listen(run)
        try:
            step.execute(run)
        except Closed:
            raise OciError(death(run, run.inner.first_step() or step)) from None
        if run.observer:
            yield from _carry_out(run)
            run.observer(step.side, index, step)
    yield from _carry_out(run)


def _carry_out(run: Run) -> Iterator[int]:
    """Have oci-setup do what has been compiled."""
    setup = run.setup
    if setup is None or not setup.is_waiting:
        return
    try:
        setup.send()
        yield setup.channel.fileno()
        setup.receive()
    except Closed:
        raise OciError(death(run, setup.first_step() or run.steps[-1])) from None


def death(run: Run, step: Asking) -> str:
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
