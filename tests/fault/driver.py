"""Runs one operation of the checkout and stops dead at a chosen point, where the test kills it.

    driver.py FD JSON

``FD`` is a socket: at the point of interest its name is written there and the process, or the
container's init, waits until something is sent back, which may be for ever. JSON has ``verb``,
``root``, ``id``, ``at`` (the number of the point, NOWHERE for none), ``patience`` (seconds,
optional: how long somebody who is held up, or a hook that nobody needs, is waited for) and what the
verb needs.

What an engine would see is printed to standard error, with exit status 1: the error in one line,
``internal error`` where it is none of ours. ``run`` is create and start; when only start fails, the
exit status is NOT_STARTED.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from ociruntime.errors import OciError, unexpected  # noqa: E402
from ociruntime.lifecycle.create import create, read_bundle  # noqa: E402
from ociruntime.lifecycle.delete import delete  # noqa: E402
from ociruntime.lifecycle.start import start  # noqa: E402
from ociruntime.lifecycle.tenant import ExecOptions, exec_process  # noqa: E402
from ociruntime.plan.options import CreateOptions  # noqa: E402
from ociruntime.process import hookguard, patience  # noqa: E402
from ociruntime.state.store import Store  # noqa: E402

if TYPE_CHECKING:
    from ociruntime.plan.step import Step

# Where the lines of start and delete are counted.
TRACED = tuple(
    str(CHECKOUT / "ociruntime" / name)
    for name in ("lifecycle/start.py", "lifecycle/delete.py", "state/store.py", "cgroups/group.py")
)


NOT_STARTED = 3
NOWHERE = -1


class StopAt:
    """Stops at the point with number ``at``: a step for plans, a line for what has no plan."""

    def __init__(self, fd: int, at: int) -> None:
        self.fd = fd
        self.at = at
        self.seen: set[tuple[str, int]] = set()

    def observe(self, side: str, index: int, step: Step) -> None:
        """``Run.observer``, in both processes."""
        if index == self.at:
            self.stop(f"{side} {step.kind}: {step.label}")

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        """``sys.settrace``: counts the lines of TRACED, each when it is reached first."""
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and line not in self.seen:
            if len(self.seen) == self.at:
                sys.settrace(None)
                self.stop(f"{os.path.basename(line[0])}:{line[1]}")
            self.seen.add(line)
        return self.trace

    def stop(self, point: str) -> None:
        os.write(self.fd, point.encode())
        while not os.read(self.fd, 1):
            pass


def main() -> None:
    stop = StopAt(int(sys.argv[1]), 0)
    asked = json.loads(sys.argv[2])
    stop.at = asked["at"]
    patience.HELD_SECONDS = asked.get("patience", patience.HELD_SECONDS)
    hookguard.GRACE_SECONDS = asked.get("patience", hookguard.GRACE_SECONDS)
    patience.LOOK_SECONDS = min(patience.LOOK_SECONDS, patience.HELD_SECONDS / 4)
    try:
        carry_out(asked, stop)
    except OciError as error:
        sys.exit(str(error))
    except Exception as error:  # noqa: BLE001 - as the command line does
        sys.exit(unexpected(error))


def carry_out(asked: dict[str, Any], stop: StopAt) -> None:
    store = Store(asked["root"])
    if asked["verb"] in ("create", "run"):
        bundle, raw, config, _ = read_bundle(asked["bundle"], "config.json")
        options = CreateOptions(asked["id"], store, bundle)
        for name, value in asked["options"].items():
            setattr(options, name, value)
        run = create(config, raw, options, stop.observe)
        if asked["verb"] == "run":
            assert run.container is not None
            try:
                start(run.container)
            except OciError as error:
                print(error, file=sys.stderr)
                sys.exit(NOT_STARTED)
    elif asked["verb"] == "exec":
        wanted = ExecOptions()
        for name, value in asked["options"].items():
            setattr(wanted, name, value)
        exec_process(store.open(asked["id"]), asked["process"], wanted, stop.observe)
    else:
        operation = {"start": start, "delete": delete}[asked["verb"]]
        container = store.open_locked(asked["id"])
        if stop.at != NOWHERE:
            sys.settrace(stop.trace)
        operation(container)
        sys.settrace(None)


main()
