"""The freezer controller of cgroup v1: ``freezer.state``.

Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
"""

from __future__ import annotations

from time import monotonic, sleep

from ociruntime.cgroups.files import read_file, read_optional, write_file
from ociruntime.cgroups.freezer import FREEZE_SECONDS, Freezer
from ociruntime.cgroups.tree import FIRST_PAUSE, GONE, LONGEST_PAUSE, walk

STATE = "freezer.state"
FROZEN_STATES = ("FREEZING", "FROZEN")


class FreezerV1(Freezer):
    """The freezer controller of cgroup v1."""

    def freeze(self) -> None:
        end = monotonic() + FREEZE_SECONDS
        pause = FIRST_PAUSE
        while True:
            # Written again each time: a process forking at the wrong moment leaves the cgroup
            # FREEZING for good.
            self.write(self.directory, STATE, "FROZEN")
            state = read_file(self.kernel, self.directory, STATE)
            if state == "FROZEN":
                return
            if monotonic() >= end:
                raise self.late(STATE, "FROZEN", f"still {state}")
            sleep(pause)
            if pause == LONGEST_PAUSE:
                self.write(self.directory, STATE, "THAWED")
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
                raise self.refused(STATE, "THAWED", error) from None

    def frozen(self) -> bool:
        return read_optional(self.kernel, self.directory, STATE) in FROZEN_STATES
