"""Runs one operation of the checkout and stops dead at a chosen point, where the test kills it.

    driver.py FD JSON

``FD`` is a pipe: at the point of interest its name is written there and the process, or the
container's init, waits for ever. JSON has ``verb``, ``root``, ``id``, ``at`` (the number of the
point) and what the verb needs.
"""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from ociruntime.lifecycle.create import create, read_bundle  # noqa: E402
from ociruntime.lifecycle.delete import delete  # noqa: E402
from ociruntime.lifecycle.start import start  # noqa: E402
from ociruntime.lifecycle.tenant import ExecOptions, exec_process  # noqa: E402
from ociruntime.plan.options import CreateOptions  # noqa: E402
from ociruntime.state.store import Store  # noqa: E402

if TYPE_CHECKING:
    from ociruntime.plan.step import Step

# Where the lines of start and delete are counted.
TRACED = tuple(
    str(CHECKOUT / "ociruntime" / name)
    for name in ("lifecycle/start.py", "lifecycle/delete.py", "state/store.py", "cgroups/group.py")
)


class StopAt:
    """Stops at the point with number ``at``: a step for plans, a line for what has no plan."""

    def __init__(self, pipe: int, at: int) -> None:
        self.pipe = pipe
        self.at = at
        self.seen: set[tuple[str, int]] = set()
        # Needed in a process that must not import any more.
        self.poll = select.poll()

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
        os.write(self.pipe, point.encode())
        self.poll.poll()


def main() -> None:
    stop = StopAt(int(sys.argv[1]), 0)
    asked = json.loads(sys.argv[2])
    stop.at = asked["at"]
    store = Store(asked["root"])
    if asked["verb"] == "create":
        bundle, raw, config, _ = read_bundle(asked["bundle"], "config.json")
        options = CreateOptions(asked["id"], store, bundle)
        for name, value in asked["options"].items():
            setattr(options, name, value)
        create(config, raw, options, stop.observe)
    elif asked["verb"] == "exec":
        wanted = ExecOptions()
        for name, value in asked["options"].items():
            setattr(wanted, name, value)
        exec_process(store.open(asked["id"]), asked["process"], wanted, stop.observe)
    else:
        operation = {"start": start, "delete": delete}[asked["verb"]]
        container = store.open_locked(asked["id"])
        sys.settrace(stop.trace)
        operation(container)
        sys.settrace(None)


main()
