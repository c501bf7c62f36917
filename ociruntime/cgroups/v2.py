"""A container's cgroup on cgroup v2.
 Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, chapters "Organizing Processes",
"Controlling Controllers" and "Core Interface Files".
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.explain import explain_write
from ociruntime.cgroups.files import number, read_optional, write_file
from ociruntime.cgroups.group import FREEZE_SECONDS, Group
from ociruntime.cgroups.tree import GONE, wait_for_line
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place, Placement
    from ociruntime.cgroups.setting import Setting
    from ociruntime.kernel.kernel import Kernel

# A file whose value must not be set below what is used already, with checkBeforeUpdate -> the file
# that tells the use.
USAGE = {"memory.max": "memory.current", "memory.swap.max": "memory.swap.current"}


class GroupV2(Group):
    """The unified hierarchy alone: every controller, one directory."""

    def __init__(self, kernel: Kernel, placement: Placement) -> None:
        super().__init__(kernel, placement)
        # Controllers that a cgroup above would not hand down -> (its path, the errno of the
        # refusal).
        self._withheld: dict[str, tuple[str, int]] = {}

    def _hand_down(self, _place: Place, parent: int, path: str) -> None:
        """Enable every controller for the children of ``parent``; what is refused is told when it
        is missed.
        """
        kernel = self.kernel
        available = read_optional(kernel, parent, "cgroup.controllers").split()
        enabled = read_optional(kernel, parent, "cgroup.subtree_control").split()
        missing = [name for name in available if name not in enabled]
        if not missing:
            return
        try:
            write_file(kernel, parent, "cgroup.subtree_control", " ".join(f"+{x}" for x in missing))
        except OSError:
            # All or nothing for one write: some can be enabled alone (threaded ones next to
            # processes, say).
            for name in missing:
                try:
                    write_file(kernel, parent, "cgroup.subtree_control", f"+{name}")
                except OSError as error:
                    self._withheld[name] = (path, error.errno or 0)

    def _take_over(self, _place: Place, _parent: int, child: int) -> None:
        # Below a threaded cgroup only threaded ones work, and a new one has to be told so.
        if read_optional(self.kernel, child, "cgroup.type") == "domain invalid":
            write_file(self.kernel, child, "cgroup.type", "threaded")

    def open_for_clone(self) -> int:
        return self.directory(self.placement.places[0]) if self.placement.places else -1

    def _limits_directory(self, controller: str) -> int:
        if not self.placement.places:
            raise OSError(errno.ENODEV, f"no hierarchy has the controller {controller}")
        return self.directory(self.placement.places[0])

    def _explain(self, setting: Setting, number: int) -> str:
        if number != errno.ENOENT:
            return explain_write(setting.file, setting.value, number)
        directory = self._limits_directory(setting.controller)
        if (
            setting.controller
            in read_optional(self.kernel, directory, "cgroup.controllers").split()
        ):
            return explain_write(setting.file, setting.value, number)
        return self._explain_missing(setting.controller)

    def _explain_missing(self, controller: str) -> str:
        """Why the container's cgroup lacks a controller, and who has to do what."""
        if controller not in self._withheld:
            return (
                f"the controller {controller} is not delegated to this cgroup; enable it in "
                "cgroup.subtree_control of every cgroup above (systemd: Delegate=yes in the unit)"
            )
        path, refused = self._withheld[controller]
        if refused == errno.EBUSY:
            why = "has processes of its own; move them into a child cgroup first"
        elif refused in (errno.EACCES, errno.EPERM):
            why = (
                "is not delegated to this user; run as root or delegate it (systemd: Delegate=yes)"
            )
        elif refused == errno.EOPNOTSUPP:
            why = "is threaded, and the controller is not; choose another linux.cgroupsPath"
        else:
            why = f"refuses it (errno {refused})"
        return f"the controller {controller} cannot be enabled: {path} {why}"

    def check_usage(self, settings: list[Setting]) -> None:
        """memory.checkBeforeUpdate: refuse a limit below what is in use, instead of having the
        kernel kill for it.

        Raises ``StepError`` (EBUSY) before anything is written.
        """
        for setting in settings:
            if setting.file in USAGE and setting.value != "max":
                directory = self._limits_directory(setting.controller)
                used = number(read_optional(self.kernel, directory, USAGE[setting.file]), 0)
                if used > int(setting.value):
                    detail = f"{used} bytes are in use; raise the limit, or unset checkBeforeUpdate"
                    raise StepError(setting.label, errno.EBUSY, detail)

    def apply_devices(self, rules: list[dict[str, object]]) -> None:
        from ociruntime.cgroups.bpf import attach, program
        from ociruntime.cgroups.devices import rules_of

        wanted = rules_of(rules)
        if wanted and self.placement.places:
            attach(self.kernel, self.directory(self.placement.places[0]), program(wanted))

    def signal_all(self, number: int) -> int:
        """Like the base class; SIGKILL is one write to cgroup.kill, which no fork escapes."""
        if number != c.SIGKILL or not self.placement.places:
            return super().signal_all(number)
        count = len(self.all_procs())
        try:
            write_file(self.kernel, self.directory(self.placement.places[0]), "cgroup.kill", "1")
        except OSError as error:
            if error.errno in GONE:
                return 0
            return super().signal_all(number)  # a threaded cgroup has no cgroup.kill
        return count

    def freeze(self) -> bool:
        if not self.placement.places:
            return False
        place = self.placement.places[0]
        directory = self.directory(place)
        self._write_freeze("1")
        if not wait_for_line(self.kernel, directory, "cgroup.events", "frozen 1", FREEZE_SECONDS):
            detail = f"not frozen after {FREEZE_SECONDS:g} s; is a process in it in state D?"
            raise StepError(f"cgroup {place.directory} (cgroup.freeze = 1)", 0, detail)
        return True

    def thaw(self) -> None:
        if self.placement.places:
            self._write_freeze("0")

    def _write_freeze(self, value: str) -> None:
        place = self.placement.places[0]
        try:
            write_file(self.kernel, self.directory(place), "cgroup.freeze", value)
        except OSError as error:
            if error.errno in GONE and value == "0":
                return
            refused = error.errno or 0
            detail = explain_write("cgroup.freeze", value, refused)
            raise StepError(
                f"cgroup {place.directory} (cgroup.freeze = {value})", refused, detail
            ) from None

    def frozen(self) -> bool:
        if not self.placement.places:
            return False
        try:
            directory = self.directory(self.placement.places[0])
        except FileNotFoundError:
            return False
        events = read_optional(self.kernel, directory, "cgroup.events")
        return "frozen 1" in events.split("\n") or (
            read_optional(self.kernel, directory, "cgroup.freeze") == "1"
        )
