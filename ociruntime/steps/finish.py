"""Host side, when only oci-init is left in the container: limits of the process, the pid file, the
state.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.pids import start_time
from ociruntime.process.step import Step
from ociruntime.state.pidfile import (
    create_temporary,
    is_special,
    remove_pid_file,
    temporary_of,
    write_and_close,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


class RecordInit(Step):
    """Write init's pid and start time into the state before it can outlive us, so that delete finds
    it, and what ``exec`` proves the root by.
    """

    __slots__ = ()

    kind = "record-init"
    stage = "attach"

    def __init__(self) -> None:
        super().__init__("", "state")

    def describe(self) -> str:
        return "record init's pid and start time in the state"

    def execute(self, run: Run) -> None:
        assert run.container is not None
        data = run.container.data
        data["pid"] = run.pid
        data["start_time"] = start_time(run.pid)
        data["root"] = root_of(data["rootfs"])
        run.container.save()


def root_of(rootfs: str) -> list[int] | None:
    """What ``exec`` will know the container's root directory by (``steps.enter``): major
    and minor number of its device, inode; None for one that we may not look at.
    """
    try:
        found = os.stat(rootfs)
    except OSError:
        return None
    return [os.major(found.st_dev), os.minor(found.st_dev), found.st_ino]


class SetRlimits(Step):
    """process.rlimits, set from outside with our privileges (prlimit(2),
    config.md#posix-process).
    """

    __slots__ = ("limits",)

    kind = "set-rlimits"
    stage = "finish"

    def __init__(self, limits: list[tuple[str, str, int, int, int]]) -> None:
        super().__init__("/process/rlimits", "process.rlimits")
        self.limits = limits

    def describe(self) -> str:
        texts = [f"{name} {soft}:{hard}" for _, name, _, soft, hard in self.limits]
        return "set the resource limits " + ", ".join(texts)

    def execute(self, run: Run) -> None:
        for pointer, name, number, soft, hard in self.limits:
            self.pointer = pointer
            self.label = f"process.rlimits {name} soft {soft} hard {hard}"
            run.kernel.prlimit(run.pid, number, soft, hard)

    def explain(self, number: int) -> str:
        if number == errno.EPERM:
            return (
                "raising a hard limit needs CAP_SYS_RESOURCE, or it is above /proc/sys/fs/nr_open"
            )
        if number == errno.EINVAL:
            return "the soft limit is above the hard limit"
        return ""


class RaiseRlimits(SetRlimits):
    """Make room for limits that the process itself will set: without privileges it can only lower
    them.
    """

    __slots__ = ()

    kind = "raise-rlimits"
    stage = "attach"

    def describe(self) -> str:
        return "raise the resource limits that are too low for process.rlimits"

    def execute(self, run: Run) -> None:
        for pointer, name, number, soft, hard in self.limits:
            self.pointer = pointer
            self.label = f"process.rlimits {name} soft {soft} hard {hard}"
            current = run.kernel.get_rlimit(run.pid, number)
            if hard > current[1]:
                run.kernel.prlimit(run.pid, number, current[0], hard)


EXPLAIN_OOM_SCORE = {
    errno.EACCES: "lowering it below the caller's own value needs CAP_SYS_RESOURCE; leave it out, "
    "or raise it"
}


class SetOomScore(Step):
    """process.oomScoreAdj (proc_pid_oom_score_adj(5))."""

    __slots__ = ("value",)

    kind = "set-oom-score"
    stage = "finish"

    def __init__(self, value: int) -> None:
        super().__init__("/process/oomScoreAdj", f"process.oomScoreAdj {value}")
        self.value = value

    def describe(self) -> str:
        return f"set the OOM score adjustment to {self.value}"

    def execute(self, run: Run) -> None:
        fd = run.kernel.open(f"/proc/{run.pid}/oom_score_adj", c.O_WRONLY)
        try:
            run.kernel.write(fd, str(self.value).encode())
        finally:
            run.kernel.close(fd)

    def explain(self, number: int) -> str:
        return EXPLAIN_OOM_SCORE.get(number, "")


class WritePidFile(Step):
    """--pid-file, complete before anybody can see it and before create returns.

    A regular file is replaced, by rename(2); anything else (a FIFO, a terminal, /dev/null) stays
    what it is and is written to.
    """

    __slots__ = ("path",)

    kind = "write-pid-file"
    stage = "finish"

    def __init__(self, path: str) -> None:
        super().__init__("", f"--pid-file {path}")
        self.path = path

    def describe(self) -> str:
        return f"write the pid to {self.path}"

    def execute(self, run: Run) -> None:
        text = str(run.pid).encode()
        if is_special(self.path):
            # Without O_NONBLOCK a FIFO would wait for its reader.
            fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            write_and_close(fd, text)
            return
        temporary = temporary_of(self.path, run.pid)
        write_and_close(create_temporary(temporary), text)
        os.rename(temporary, self.path)

    def undo(self, run: Run) -> None:
        remove_pid_file(self.path, run.pid)

    def explain(self, number: int) -> str:
        if number == errno.ENXIO:
            return "nobody reads from this FIFO, or it is a socket; name a file"
        if number == errno.EISDIR:
            return "name a file in it"
        return ""


class SendPidfd(Step):
    """--pidfd-socket: hand the caller a pidfd of the process (SCM_RIGHTS).

    ``name`` is the message beside it: runc's receivers find ``standard`` for a container's first
    process, ``setns`` for one of exec.
    """

    __slots__ = ("name", "path")

    kind = "send-pidfd"
    stage = "finish"

    def __init__(self, path: str, name: bytes) -> None:
        super().__init__("", f"--pidfd-socket {path}")
        self.path = path
        self.name = name

    def describe(self) -> str:
        return f"send a pidfd of the process to {self.path}"

    def execute(self, run: Run) -> None:
        from ociruntime.kernel.sockets import connect_unix, send_fd

        send_fd(connect_unix(self.path), run.pidfd, self.name)

    def explain(self, number: int) -> str:
        if number in (errno.ENOENT, errno.ECONNREFUSED):
            return "nobody listens on it"
        return ""


class SaveCreated(Step):
    """The container is created: from now on ``start`` may be called."""

    __slots__ = ()

    kind = "save-created"
    stage = "finish"

    def __init__(self) -> None:
        super().__init__("", "state")

    def describe(self) -> str:
        return "store the status `created`"

    def execute(self, run: Run) -> None:
        assert run.container is not None
        container = run.container
        container.data["status"] = "created"
        if start_time(run.pid) != container.data["start_time"]:
            from ociruntime.cgroups.oom import killed

            if run.cgroup is not None and killed(run.cgroup):
                detail = (
                    "container init was OOM-killed (memory limit too low?); raise "
                    "linux.resources.memory.limit, or the limit of a cgroup above"
                )
                raise StepError("init", 0, detail)
            raise StepError("init", 0, "it died before the container was complete")
        container.save()
