"""The container side: what init does between the clone and its transformation into oci-init.

Nothing is imported, looked up or opened by a path of ours in here: from the first namespace on, a
path may lead into the container. The import system is emptied, errors travel over the channel, and
the process ends with ``_exit`` so that no traceback is ever printed (docs/security.md, "Python's
own class").
"""

from __future__ import annotations

import gc
import sys

from ociruntime import hostos as os
from ociruntime.errors import OciError, unexpected
from ociruntime.kernel import constants as c
from ociruntime.plan.step import CONTAINER
from ociruntime.process.channel import Closed
from ociruntime.process.executor import reason
from ociruntime.steps.execinit import ExecInit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ociruntime.process.channel import Channel
    from ociruntime.process.run import Run

FAILED = 1


def freeze_imports() -> None:
    """Make every later import fail instead of finding a module below the container's root."""
    gc.disable()
    for name in ("meta_path", "path", "path_hooks", "path_importer_cache"):
        # The core of the interpreter has not all of them (native/bootstrap.py).
        getattr(sys, name, []).clear()


def init_main(run: Run, channel: Channel) -> NoReturn:
    """Serve the host side's ``go`` messages; never returns."""
    status = FAILED
    try:
        freeze_imports()
        # The host side may die at any moment: so do we, until oci-init has taken over.
        run.kernel.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)
        run.channel = channel
        run.warnings = []  # what is in the host side's own list is known there
        for fd in run.host_fds:
            run.kernel.close(fd)
        while True:
            start, end = channel.wait_go()
            _execute(run, channel, start, end)
            channel.done()
    except Closed:
        pass  # the host side is gone, or it has been told
    except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
        _report(channel, run, 0, "", unexpected(error))
    os._exit(status)


def _execute(run: Run, channel: Channel, start: int, end: int) -> None:
    for index in range(start, end):
        step = run.steps[index]
        try:
            if isinstance(step, ExecInit):
                _note(run, channel)  # afterwards there is nobody to tell it
                if step.wait:
                    channel.leaving()
            step.execute(run)
        except OSError as error:
            number, detail = reason(step, error)
            _report(channel, run, number, step.label, detail)
            raise Closed(step.label) from None
        except OciError as error:
            _report(channel, run, 0, step.label, str(error))
            raise Closed(step.label) from None
        if run.observer:
            run.observer(CONTAINER, index, step)
    _note(run, channel)


def _note(run: Run, channel: Channel) -> None:
    made = run.inroot.made if run.inroot else []
    channel.note(run.warnings, made)
    run.warnings.clear()
    made.clear()


def _report(channel: Channel, run: Run, number: int, label: str, detail: str) -> None:
    try:
        _note(run, channel)
        channel.failed(number, label, detail)
    except Closed:
        os._exit(FAILED)
