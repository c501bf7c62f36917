"""A kernel that does nothing: the test double of ``Kernel``.

Every call is recorded, carried out on a model (``calls``, ``files``) and can be made to
fail. So a whole plan runs without privileges and without changing the machine, and afterwards
``left`` tells what it would have left on a real one. What this process itself does through ``os``
and sockets is not seen.
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from tests.support.model.calls import EXITED, ModelCalls
from tests.support.model.files import Node, refusal
from tests.support.model.process import Handle, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.kernel.kernel import Argument
    from ociruntime.kernel.processes import Executable

# A failing close(2) has closed all the same.
CLOSES = ("close",)


class ProgramStarted(BaseException):
    """The process has become another program: nothing behind execve(2) may run, no handler of
    errors either.
    """

    def __init__(self, argv: list[bytes], envp: list[bytes]) -> None:
        super().__init__(argv[0])
        self.argv = argv
        self.envp = envp


class Call:
    """One call: who made it, what, and the errno it failed with (0: it did not)."""

    __slots__ = ("args", "errno", "name", "pid")

    def __init__(self, pid: int, name: str, args: tuple[Argument, ...]) -> None:
        self.pid = pid
        self.name = name
        # Buffers are copied: they change after the call.
        self.args = tuple(bytes(a) if isinstance(a, bytearray) else a for a in args)
        self.errno = 0

    def __repr__(self) -> str:
        failed = f" = {errno.errorcode[self.errno]}" if self.errno else ""
        return f"{self.name}({', '.join(map(repr, self.args))}){failed}"


class Recorder(ModelCalls, Kernel):
    """A ``Kernel`` on a model.

    ``calls`` are all calls so far. ``fail_at`` is the index of the call to fail and ``fail_with``
    its errno; the call is not carried out then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.fail_at = -1
        self.fail_with = errno.EIO
        self._before: set[str] = set()
        self._mounts_before: dict[Node, Node] = {}

    def invoke(self, name: str, *args: Argument) -> int:
        failing = self._record(name, args)
        call = self.calls[-1]
        serve: Callable[..., int] = getattr(self, "_do_" + name)
        try:
            if failing and name not in CLOSES:
                raise refusal(self.fail_with)
            result = serve(*args)
            if failing:
                raise refusal(self.fail_with)
        except OSError as error:
            call.errno = error.errno or 0
            raise
        return result

    def clone(self, flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
        """The child is in ``processes``, but does nothing until somebody makes it ``process``."""
        if self._record("clone3", (flags, cgroup_fd)):
            self.calls[-1].errno = self.fail_with
            raise refusal(self.fail_with)
        parent = self.process
        namespace = parent.namespace.copy() if flags & c.CLONE_NEWNS else parent.namespace
        made = Process(max(self.processes) + 1, namespace)
        made.cwd = parent.cwd
        made.fds = dict(parent.fds)
        made.cgroups = list(parent.cgroups)
        if cgroup_fd >= 0:
            made.cgroups.append(self._handle(cgroup_fd).node)
        self.processes[made.pid] = made
        return made.pid, self._install(Handle(self._nowhere, c.O_CLOEXEC, made))

    def run_program(self, program: Executable, milliseconds: int) -> int:
        """The model has processes, but none that runs a program."""
        self._record("run_program", (program.fd, b"\x1f".join(program.argv)))
        raise refusal(errno.ENOSYS)

    def start_program(self, program: Executable) -> tuple[int, int]:
        """A process that has what is ``kept``, and does nothing until somebody makes it
        ``process``.
        """
        if self._record("start_program", (program.fd, b"\x1f".join(program.argv))):
            self.calls[-1].errno = self.fail_with
            raise refusal(self.fail_with)
        made = Process(max(self.processes) + 1, self.process.namespace)
        fds = {fd: self.process.fds[fd] for fd in program.kept if fd in self.process.fds}
        made.fds = {fd: Handle(handle.node, 0, handle.extra) for fd, handle in fds.items()}
        made.cgroups = list(self.process.cgroups)
        self.processes[made.pid] = made
        return made.pid, self._install(Handle(self._nowhere, c.O_CLOEXEC, made))

    def execveat(self, fd: int, argv: list[bytes], envp: list[bytes]) -> None:
        """Raises ``ProgramStarted``; what is close-on-exec is closed by then."""
        self.invoke("execveat", fd, b"\x1f".join(argv))
        kept = self.process.fds.items()
        self.process.fds = {fd: handle for fd, handle in kept if not handle.flags & c.O_CLOEXEC}
        raise ProgramStarted(argv, envp)

    def ends_within(self, pidfd: int, seconds: float) -> bool:
        """Whoever is waited for ends by then."""
        process = self._handle(pidfd).extra
        assert isinstance(process, Process)
        if process.result is None:
            self.end(process, EXITED, 0)
        return True

    def _record(self, name: str, args: tuple[Argument, ...]) -> bool:
        """Note the call; whether it is the one to fail."""
        self.calls.append(Call(self.process.pid, name, args))
        return len(self.calls) - 1 == self.fail_at

    # setting up, and looking at the result

    def add(self, path: str, mode: int = c.S_IFDIR | 0o755, content: bytes = b"") -> Node:
        """Put something on the model host, with the directories above it."""
        *above, name = [part for part in path.split("/") if part]
        top = self.host.namespace.top
        node = top(self.host.namespace.root)
        for part in above:
            node = top(node.children.get(part) or node.add(part, c.S_IFDIR | 0o755))
        node = top(node.children.get(name) or node.add(name, mode))
        node.content[:] = content
        return node

    def add_mount(self, path: str, kind: str) -> Node:
        """Mount a new file system on the model host; returns its root."""
        root = Node(self.filesystem_of(kind), c.S_IFDIR | 0o755)
        self.host.namespace.mounts[self.add(path)] = root
        return root

    def mark(self) -> None:
        """What is there now belongs to the host; ``left`` compares with it."""
        self._before = self._everything()
        self._mounts_before = dict(self.host.namespace.mounts)

    def left(self) -> list[str]:
        """What is there that was not at ``mark``, or the other way round.

        Living processes, mounts in the host's namespace, files, directories and cgroups; each
        as one line.
        """
        others = [process for process in self.processes.values() if process is not self.host]
        lines = [f"process {process.pid}" for process in others if process.result is None]
        if self.host.namespace.mounts != self._mounts_before:
            lines.append("a mount in the host's namespace")
        now = self._everything()
        lines += [f"new {path}" for path in sorted(now - self._before)]
        lines += [f"lost {path}" for path in sorted(self._before - now)]
        return lines

    def _everything(self) -> set[str]:
        tops = [self.host.namespace.root, *self.host.namespace.mounts.values()]
        return {
            f"{top.fs.kind} {top.fs.minor}: {path}"
            for top in tops
            if top.fs.kind not in ("proc", "sysfs")
            for path, _ in top.walk()
        }
