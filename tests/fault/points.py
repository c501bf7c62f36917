"""Operations that stop dead at a point that the test has chosen: the side of who executes them.

The test writes DIRECTORY/points.json: the ``verb`` that is to stop, ``at`` which point, and how
many seconds (``patience``) somebody who is held up, or a hook that nobody needs, is waited for.
What carries that verb out connects to DIRECTORY/test-points, writes the point's name there when it
has come so far, and waits until something is sent back, which may be for ever. So does the
container's init, which has a copy of the connection until it becomes another program.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ociruntime.kernel import kept
from ociruntime.process import hookguard, patience

if TYPE_CHECKING:
    from ociruntime.process.step import Step

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# Where the lines of start and delete are counted.
TRACED = tuple(
    str(CHECKOUT / "ociruntime" / name)
    for name in ("lifecycle/start.py", "lifecycle/delete.py", "state/store.py", "cgroups/group.py")
)
NAME, SOCKET = "points.json", "test-points"


class StopAt:
    """Stops at the point with number ``at``: a step for plans, a line for what has no plan."""

    def __init__(self, link: socket.socket, at: int) -> None:
        # A number: the process inside closes the object with all that it does not need.
        self.fd = link.detach()
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


class Points:
    """What the test wants of the processes that work for it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def stop(self, verb: str) -> StopAt | None:
        """Where ``verb`` has to stop, None for nowhere."""
        with open(f"{self.directory}/{NAME}", encoding="ascii") as file:
            wanted = json.load(file)
        if "patience" in wanted:
            seconds = wanted["patience"]
            patience.HELD_SECONDS = hookguard.GRACE_SECONDS = kept.KEPT_SECONDS = seconds
            patience.LOOK_SECONDS = min(patience.LOOK_SECONDS, seconds / 4)
        if wanted["verb"] != verb:
            return None
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.connect(f"{self.directory}/{SOCKET}")
        return StopAt(link, wanted["at"])

    def install(self, module: Any) -> None:
        """Have the operations that ``module`` calls by these names stop."""
        module.create = self._planned("create", module.create)
        module.exec_process = self._planned("exec", module.exec_process)
        module.start = self._traced("start", module.start)
        module.delete = self._traced("delete", module.delete)

    def _planned(self, verb: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def carry_out(*operands: Any, **known: Any) -> Any:
            stop = self.stop(verb)
            return operation(*operands, *([stop.observe] if stop else []), **known)

        return carry_out

    def _traced(self, verb: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def carry_out(container: Any, **known: Any) -> Any:
            stop = self.stop(verb)
            if stop is not None and stop.at >= 0:
                sys.settrace(stop.trace)
            try:
                return operation(container, **known)
            finally:
                sys.settrace(None)

        return carry_out
