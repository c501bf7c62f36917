"""The freezer: stopping every process of a cgroup and of those below it, and letting them go on.

v1 has ``freezer.state``, the unified hierarchy ``cgroup.freeze`` and ``cgroup.events``. Sources:
Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "Core Interface Files".
"""

from __future__ import annotations

from time import monotonic, sleep

from ociruntime.cgroups.explain import explain_write
from ociruntime.cgroups.files import read_file, read_optional, write_file
from ociruntime.cgroups.tree import FIRST_PAUSE, GONE, LONGEST_PAUSE, walk
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# How long a cgroup may take to freeze (seconds).
FREEZE_SECONDS = 10.0

STATE, FREEZE, EVENTS = "freezer.state", "cgroup.freeze", "cgroup.events"
FROZEN_STATES = ("FREEZING", "FROZEN")


class Freezer:
    """The freezer of one open cgroup: ``directory`` is its fd, ``path`` its name in errors."""

    def __init__(self, kernel: Kernel, directory: int, path: str) -> None:
        self.kernel = kernel
        self.directory = directory
        self.path = path

    def freeze(self) -> None:
        """Stop every process; raises ``StepError`` when it takes longer than ``FREEZE_SECONDS``.

        The cgroup may then freeze later.
        """
        raise NotImplementedError

    def thaw(self, *, deep: bool = False) -> None:
        """Let the processes go on; no effect on a cgroup that is not frozen or is gone.

        With ``deep`` cgroups below that were frozen on their own thaw, too.
        """
        raise NotImplementedError

    def frozen(self) -> bool:
        """True when the cgroup or one above it is frozen or about to be; False when it is gone."""
        raise NotImplementedError

    def _write(self, directory: int, file: str, value: str) -> None:
        try:
            write_file(self.kernel, directory, file, value)
        except OSError as error:
            raise self._refused(file, value, error) from None

    def _refused(self, file: str, value: str, error: OSError) -> StepError:
        number = error.errno or 0
        return StepError(
            f"cgroup {self.path} ({file} = {value})", number, explain_write(file, value, number)
        )

    def _late(self, file: str, value: str, how: str) -> StepError:
        detail = f"{how} after {FREEZE_SECONDS:g} s; is a process in it in state D?"
        return StepError(f"cgroup {self.path} ({file} = {value})", 0, detail)


class FreezerV1(Freezer):
    """The freezer controller of cgroup v1."""

    def freeze(self) -> None:
        end = monotonic() + FREEZE_SECONDS
        pause = FIRST_PAUSE
        while True:
            # Written again each time: a process forking at the wrong moment leaves the cgroup
            # FREEZING for good.
            self._write(self.directory, STATE, "FROZEN")
            state = read_file(self.kernel, self.directory, STATE)
            if state == "FROZEN":
                return
            if monotonic() >= end:
                raise self._late(STATE, "FROZEN", f"still {state}")
            sleep(pause)
            if pause == LONGEST_PAUSE:
                self._write(self.directory, STATE, "THAWED")
                pause = FIRST_PAUSE
            pause = min(pause * 2, LONGEST_PAUSE)

    def thaw(self, *, deep: bool = False) -> None:
        self._thaw(self.directory)
        if deep:
            for here in walk(self.kernel, self.directory):
                self._thaw(here)

    def _thaw(self, directory: int) -> None:
        try:
            write_file(self.kernel, directory, STATE, "THAWED")
        except OSError as error:
            if error.errno not in GONE:
                raise self._refused(STATE, "THAWED", error) from None

    def frozen(self) -> bool:
        return read_optional(self.kernel, self.directory, STATE) in FROZEN_STATES


class FreezerV2(Freezer):
    """The freezer that every cgroup of the unified hierarchy has."""

    def freeze(self) -> None:
        from ociruntime.cgroups.tree import wait_for_line

        self._write(self.directory, FREEZE, "1")
        if not wait_for_line(self.kernel, self.directory, EVENTS, "frozen 1", FREEZE_SECONDS):
            raise self._late(FREEZE, "1", "not frozen")

    def thaw(self, *, deep: bool = False) -> None:
        """SIGKILL ends frozen processes as well here, so there is no need to go deep."""
        try:
            write_file(self.kernel, self.directory, FREEZE, "0")
        except OSError as error:
            if error.errno not in GONE:
                raise self._refused(FREEZE, "0", error) from None

    def frozen(self) -> bool:
        events = read_optional(self.kernel, self.directory, EVENTS)
        return "frozen 1" in events.split("\n") or (
            read_optional(self.kernel, self.directory, FREEZE) == "1"
        )
