"""The step that makes the init process."""

from __future__ import annotations

import errno

from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.process.run import namespace_fd
from ociruntime.process.spawn import Namespaces, end_process, spawn
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

Mapping = tuple[int, int, int]


class Spawn(Step):
    """Clone init into the container's namespaces (config-linux.md#namespaces, clone(2)).

    Parameters: ``new`` are names of new namespaces, ``flags`` their CLONE_NEW* flags for the clone,
    ``joined`` pairs of (name, flag) whose fds ``OpenNamespace`` left, ``time_offsets`` the text for
    timens_offsets or None, the mappings triples (container id, host id, size), ``privileged``
    whether we may write any map ourselves.
    """

    __slots__ = (
        "flags",
        "gid_maps",
        "joined",
        "new",
        "privileged",
        "time_offsets",
        "uid_maps",
    )

    kind = "spawn"
    stage = "spawn"

    def __init__(
        self,
        new: list[str],
        flags: int,
        joined: list[tuple[str, int]],
        time_offsets: str | None,
        uid_maps: list[Mapping],
        gid_maps: list[Mapping],
        *,
        privileged: bool,
    ) -> None:
        super().__init__("/linux/namespaces", "linux.namespaces")
        self.new = new
        self.flags = flags
        self.joined = joined
        self.time_offsets = time_offsets
        self.uid_maps = uid_maps
        self.gid_maps = gid_maps
        self.privileged = privileged

    def describe(self) -> str:
        text = f"clone init into new namespaces ({', '.join(self.new) or 'none'})"
        if self.joined:
            text += f", joining {', '.join(name for name, _ in self.joined)}"
        if self.uid_maps:
            text += ", and write its uid and gid maps"
        return text

    def wanted(self, run: Run) -> Namespaces:
        """What ``spawn`` shall make and join."""
        wanted = Namespaces()
        wanted.new = self.flags
        wanted.time = self.time_offsets
        # /proc/PID/uid_map of a process that is not dumpable is root's.
        wanted.traceable = not self.privileged and bool(self.uid_maps or self.gid_maps)
        wanted.owns_proc = self.privileged
        for name, flag in self.joined:
            fd = run.fds[namespace_fd(name)]
            wanted.joined.append((f"joining the {name} namespace", flag, fd))
        return wanted

    def execute(self, run: Run) -> None:
        # A container without a pid namespace sees us: nobody in there may trace us or open our
        # descriptors (CVE-2016-9962). An unprivileged caller stays dumpable: what is /proc/self's
        # belongs to root otherwise.
        if self.privileged:
            run.kernel.prctl(c.PR_SET_DUMPABLE, 0)
        cgroup_fd = run.cgroup.open_for_clone() if run.cgroup else -1
        spawn(run, self.wanted(run), cgroup_fd, lambda pid: self._write_maps(run, pid))

    def _write_maps(self, run: Run, pid: int) -> None:
        for kind, maps in (("gid", self.gid_maps), ("uid", self.uid_maps)):
            if not maps:
                continue
            if self.privileged:
                self._write_map(run, pid, kind, maps)
            else:
                from ociruntime.process.rootless import write_map

                write_map(run.kernel, pid, kind, maps)

    def _write_map(self, run: Run, pid: int, kind: str, maps: list[Mapping]) -> None:
        text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in maps)
        try:
            fd = run.kernel.open(f"/proc/{pid}/{kind}_map", c.O_WRONLY)
            try:
                run.kernel.write(fd, text.encode())
            finally:
                run.kernel.close(fd)
        except OSError as error:
            detail = ""
            if error.errno == errno.EINVAL:
                detail = "the kernel refuses the ranges; they overlap, or there are more than 340"
            elif error.errno == errno.EPERM:
                detail = "the caller's own user namespace does not have these ids"
            label = f"linux.{kind}Mappings"
            raise StepError(label, error.errno or 0, detail) from None

    def undo(self, run: Run) -> None:
        if run.channel is not None:
            run.channel.close()
        end_process(run)

    def explain(self, number: int) -> str:
        if number == errno.EPERM:
            return "new namespaces need root, or a user namespace in linux.namespaces"
        if number == errno.ENOSPC:
            return "the limit in /proc/sys/user/max_*_namespaces is reached; raise it"
        if number == errno.EINVAL:
            return "the kernel lacks one of these namespaces"
        if number == errno.ENOMEM:
            return "the host has no memory left, or the pid namespace lost its first process"
        if number == errno.EAGAIN:
            return "the limit of processes is reached (pids cgroup or RLIMIT_NPROC)"
        return ""

