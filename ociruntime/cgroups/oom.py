"""Hearing of it when a cgroup runs out of memory.

Sources: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control"; cgroup-v2.rst,
"memory.events".
"""

from __future__ import annotations

import os
from select import POLLIN, POLLPRI

from ociruntime.cgroups.files import read_optional, write_file
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group


def killed(group: Group) -> bool:
    """Whether the kernel has killed a process of the cgroup for lack of memory."""
    return kills(group) > 0


def kills(group: Group) -> int:
    """How many processes of the cgroup, and of those below it, the kernel has killed for lack of
    memory.
    """
    try:
        directory = group.limits_directory("memory")
        for file in ("memory.events", "memory.oom_control"):  # v2, v1
            for line in read_optional(group.kernel, directory, file).split("\n"):
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    except OSError:
        pass  # nobody watches its memory
    return 0


class OomWatch:
    """``fd`` is to be polled for ``mask``; -1 where the cgroup's memory is not watched by
    anybody.
    """

    def __init__(self, group: Group) -> None:
        self.kernel = group.kernel
        self.fd = -1
        self.mask = POLLIN
        self._kills = -1
        try:
            self.directory = group.limits_directory("memory")
            if group.placement.find("memory") is not None:
                self._register()
            else:
                self.fd = self.kernel.openat(self.directory, "memory.events", c.O_RDONLY)
                self.mask = POLLPRI
                self._kills = self._count()
        except OSError:
            self.close()

    def _register(self) -> None:
        """v1: an eventfd that counts how often memory ran out, here or below."""
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        control = self.kernel.openat(self.directory, "memory.oom_control", c.O_RDONLY)
        try:
            write_file(self.kernel, self.directory, "cgroup.event_control", f"{self.fd} {control}")
        finally:
            self.kernel.close(control)

    def happened(self) -> bool:
        """Whether memory ran out since the last question."""
        if self.fd < 0:
            return False
        if self._kills < 0:
            try:
                os.eventfd_read(self.fd)
            except BlockingIOError:
                return False
            # The removal of the cgroup is told in the same way.
            return bool(read_optional(self.kernel, self.directory, "memory.oom_control"))
        before, self._kills = self._kills, self._count()
        return self._kills > before

    def _count(self) -> int:
        """v2: processes killed so far; reading anew is what arms the poll."""
        os.lseek(self.fd, 0, os.SEEK_SET)
        for line in os.read(self.fd, 4096).decode().split("\n"):
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def close(self) -> None:
        """Stop watching."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
