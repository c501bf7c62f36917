"""A container of the runtime under test, as a test handles it."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.bundle import Bundle
from conformance.runtime import OverdueError, Result, read

if TYPE_CHECKING:
    from conformance.trial import Trial


class UnfitError(Exception):
    """The runtime failed at something that the test needs before it can judge."""


class Container:
    """A container that the runtime has created."""

    def __init__(self, trial: Trial, name: str, bundle: Bundle) -> None:
        self.trial = trial
        self.id = name
        self.bundle = bundle
        self.deleted = False
        self._pid = 0
        self._pidfd = -1

    def attempt(self, verb: str, *args: str) -> Result:
        """Call `verb ID args…`, whatever comes of it."""
        return self.trial.runtime.call(verb, self.id, *args)

    def need(self, verb: str, *args: str) -> Result:
        """Call `verb ID args…`; raises UnfitError if it fails."""
        result = self.attempt(verb, *args)
        if not result.ok:
            raise UnfitError(f"{verb}: {result.text}")
        return result

    def start(self) -> Container:
        """Start it; raises UnfitError if that fails."""
        self.need("start")
        return self

    def state(self) -> dict[str, Any]:
        """Return what `state` reports; raises UnfitError unless it is a JSON object."""
        result = self.need("state")
        try:
            found = json.loads(result.stdout)
        except ValueError:
            raise UnfitError(f"state: no JSON: {result.stdout[:200]!r}") from None
        if not isinstance(found, dict):
            raise UnfitError(f"state: no JSON object: {result.stdout[:200]!r}")
        return found

    def execute(self) -> Container:
        """Start it, and wait until its program is executed or over.

        The specification does not say that start waits for that.
        """
        self.hold().start()
        self.trial.wait_for("the program in place of the runtime's", self.executed)
        return self

    @property
    def status(self) -> str:
        """The status that `state` reports."""
        return str(self.state().get("status"))

    @property
    def pid(self) -> int:
        """The process, as `state` reports it while the container is created or running."""
        if not self._pid:
            self._pid = int(self.state().get("pid", 0))
            if self._pid <= 0:
                raise UnfitError("state has no pid")
        return self._pid

    def hold(self) -> Container:
        """Open the process, so that its end can be waited for however soon it comes."""
        if self._pidfd < 0:
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except ProcessLookupError:
                raise UnfitError(f"no process {self.pid}, which state reports") from None
        return self

    def wait(self) -> Container:
        """Wait for the process's end (hold it before); raises OverdueError."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        left = self.trial.deadline - time.monotonic()
        if not poll.poll(max(left, 0) * 1000):
            raise OverdueError(f"the program did not end; it wrote: {self.output()[-200:]!r}")
        return self

    def executed(self) -> bool:
        """Tell whether the process executes a program of the root filesystem, or has ended."""
        try:
            program = os.readlink(f"/proc/{self.pid}/exe")
        except OSError:
            return True
        return program.endswith("/busybox")

    def run(self) -> Container:
        """Start it and wait for its end."""
        self.hold().start()
        return self.wait()

    def proc(self, name: str) -> str:
        """Return the content of /proc/PID/NAME of its process."""
        try:
            return Path("/proc", str(self.pid), name).read_text(errors="replace")
        except OSError as error:
            raise UnfitError(f"/proc/{self.pid}/{name}: {error.strerror}") from None

    def proc_status(self, name: str) -> str:
        """Return a field of /proc/PID/status."""
        for line in self.proc("status").splitlines():
            if line.startswith(f"{name}:"):
                return " ".join(line.split()[1:])
        raise UnfitError(f"/proc/{self.pid}/status has no {name}")

    def output(self) -> str:
        """Return what its program has written so far, stdout and stderr of `create` alike."""
        return read(self.bundle.output) if self.bundle.output.exists() else ""

    def delete(self, *options: str) -> Result:
        """Call `delete`, whatever comes of it."""
        result = self.trial.runtime.call("delete", *options, self.id)
        self.deleted = self.deleted or result.ok
        return result

    def close(self) -> None:
        """Forget the process; delete the container by force if nobody has."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if not self.deleted:
            self.delete("--force")
