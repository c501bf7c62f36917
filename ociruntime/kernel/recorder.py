"""A kernel that does nothing: the test double of ``Kernel``.

Every call is recorded, carried out on a model (``modelfs``: files, mounts, cgroups; here: processes and descriptors) and
can be made to fail. So a whole plan runs without privileges and without changing the machine, and afterwards ``left``
tells what it would have left on a real one. What this process itself does through ``os`` and sockets is not seen.
"""

from __future__ import annotations

import errno
from _struct import pack_into, unpack_from

from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.modelfs import MAGIC, Filesystem, Namespace, Node, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.kernel.kernel import Argument

# Far above every real descriptor and every real pid, so that a mix-up is an error and not an accident.
FIRST_FD = 1 << 20
FIRST_PID = 1 << 23
EXITED, KILLED = 1, 2
CGROUP_FILES = {
    "cgroup.controllers": "cpuset cpu io memory pids",
    "cgroup.events": "populated 0\nfrozen 0",
    "cgroup.freeze": "0",
    "cgroup.type": "domain",
    "cpuset.cpus": "0-1",
    "cpuset.mems": "0",
    "devices.list": "a *:* rwm",
    "freezer.state": "THAWED",
    "memory.limit_in_bytes": "9223372036854771712",
}
MEMBERS = ("cgroup.procs", "tasks", "cgroup.threads")


class ProgramStarted(BaseException):  # noqa: N818 - not an error: execve(2) does not return
    """The process has become another program. Not an ``Exception``: nothing behind execve(2) may run."""

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


class Handle:
    """What a descriptor refers to: a node, open with ``flags`` at ``offset``; or something with ``extra`` instead."""

    __slots__ = ("cgroup", "extra", "flags", "name", "node", "offset")

    def __init__(self, node: Node, flags: int = 0, extra: object = None) -> None:
        self.node = node
        self.flags = flags
        self.extra = extra
        self.offset = 0
        self.cgroup: Node | None = None
        self.name = ""


class Process:
    """A process of the model; ``result`` is its end as (si_code, si_status), None while it lives."""

    __slots__ = ("cgroups", "cwd", "fds", "namespace", "pid", "reaped", "result")

    def __init__(self, pid: int, namespace: Namespace) -> None:
        self.pid = pid
        self.namespace = namespace
        self.cwd = namespace.root
        self.fds: dict[int, Handle] = {}
        self.cgroups: list[Node] = []
        self.result: tuple[int, int] | None = None
        self.reaped = False


class Recorder(Kernel):
    """A ``Kernel`` on a model.

    ``calls`` are all calls so far; ``process`` is the one that makes them, at first the ``host`` side. ``fail_at`` is
    the index of the call to fail and ``fail_with`` its errno: it is not carried out, except close(2), which closes
    whatever it says.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.fail_at = -1
        self.fail_with = errno.EIO
        self._minor = 0
        self._next_fd = FIRST_FD
        root = Node(self.filesystem_of("disk"), c.S_IFDIR | 0o755)
        self._nowhere = Node(self.filesystem_of("disk"), c.S_IFCHR | 0o666)
        self.host = self.process = Process(FIRST_PID, Namespace(root))
        self.processes = {FIRST_PID: self.host}
        self._before: dict[str, Node] = {}
        self._mounts_before: dict[Node, Node] = {}

    # setting up, and looking at the result

    def filesystem_of(self, kind: str) -> Filesystem:
        """A new superblock."""
        self._minor += 1
        return Filesystem(kind, self._minor)

    def add(self, path: str, mode: int = c.S_IFDIR | 0o755, content: bytes = b"") -> Node:
        """Put something on the model host, with the directories above it."""
        node = self.host.namespace.root
        parts = [part for part in path.split("/") if part]
        for part in parts[:-1]:
            below = self.host.namespace.top(node)
            node = below.children.get(part) or below.add(part, c.S_IFDIR | 0o755)
        below = self.host.namespace.top(node)
        node = below.children.get(parts[-1]) or below.add(parts[-1], mode)
        node.content[:] = content
        return node

    def add_mount(self, path: str, kind: str) -> None:
        """Mount a new file system on the model host."""
        root = Node(self.filesystem_of(kind), c.S_IFDIR | 0o755)
        self.host.namespace.mounts[self.host.namespace.top(self.add(path))] = root

    def mark(self) -> None:
        """What is there now belongs to the host; ``left`` compares with it."""
        self._before = self._everything()
        self._mounts_before = dict(self.host.namespace.mounts)

    def left(self) -> list[str]:
        """What came since ``mark`` and is there still: processes, host mounts, files, directories and cgroups."""
        lines = [
            f"process {process.pid}"
            for process in self.processes.values()
            if process is not self.host and not process.reaped
        ]
        if self.host.namespace.mounts != self._mounts_before:
            lines.append("a mount in the host's namespace")
        now = self._everything()
        lines += [f"new {path}" for path in now if path not in self._before]
        lines += [f"lost {path}" for path in self._before if path not in now]
        return lines

    def _everything(self) -> dict[str, Node]:
        tops = [("", self.host.namespace.root)]
        tops += [(top.fs.kind, top) for top in self.host.namespace.mounts.values()]
        return {
            f"{top.fs.minor}{name}{path}": node
            for name, top in tops
            if top.fs.kind not in ("proc", "sysfs")
            for path, node in top.walk()
        }

    # what Kernel asks

    def invoke(self, name: str, *args: Argument) -> int:
        call = Call(self.process.pid, name, args)
        self.calls.append(call)
        try:
            failing = len(self.calls) - 1 == self.fail_at
            if failing and name != "close":
                raise refusal(self.fail_with)
            serve: Callable[..., int] = getattr(self, "_do_" + name)
            result = serve(*args)
            if failing:
                raise refusal(self.fail_with)
            return result
        except OSError as error:
            call.errno = error.errno or 0
            raise

    def clone(self, flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
        """The child is in ``processes`` but does nothing until somebody makes it ``process``."""
        call = Call(self.process.pid, "clone3", (flags, cgroup_fd))
        self.calls.append(call)
        if len(self.calls) - 1 == self.fail_at:
            call.errno = self.fail_with
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
        return made.pid, self._install(Handle(self._nowhere, 0, made))

    def execveat(self, fd: int, argv: list[bytes], envp: list[bytes]) -> None:
        self.invoke("execveat", fd, b"\x1f".join(argv))
        process = self.process
        process.fds = {fd: h for fd, h in process.fds.items() if not h.flags & c.O_CLOEXEC}
        raise ProgramStarted(argv, envp)

    def end(self, process: Process, code: int = EXITED, status: int = 1) -> None:
        """A process ends; it stays a zombie until waitid(2)."""
        if process.result is None:
            process.result = (code, status)
            process.fds = {}
            process.cgroups = []

    # descriptors

    def _install(self, handle: Handle) -> int:
        self._next_fd += 1
        self.process.fds[self._next_fd] = handle
        return self._next_fd

    def _handle(self, fd: int) -> Handle:
        handle = self.process.fds.get(fd)
        if handle is None:
            if fd >= FIRST_FD:
                raise refusal(errno.EBADF)
            return Handle(self._nowhere)  # a real one: a socket, the state directory
        return handle

    def _start(self, fd: int) -> Node:
        return self.process.cwd if fd == c.AT_FDCWD else self._handle(fd).node

    def _find(self, fd: int, path: bytes, flags: int = 0, resolve: int = 0) -> Node:
        return self.process.namespace.find(self._start(fd), path.decode(), flags, resolve)

    def _parent(self, fd: int, path: bytes) -> tuple[Node, str]:
        head, _, name = path.decode().rpartition("/")
        return self._find(fd, head.encode(), c.O_DIRECTORY), name

    def _do_openat(self, fd: int, path: bytes, flags: int, mode: int) -> int:
        return self._open(fd, path, flags, mode, 0)

    def _do_openat2(self, fd: int, path: bytes, how: bytearray, _size: int) -> int:
        flags, mode, resolve = unpack_from("=QQQ", how)
        return self._open(fd, path, flags, mode, resolve)

    def _open(self, fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        made = False
        if flags & c.O_CREAT:
            parent, name = self._parent(fd, path)
            if name not in parent.children:
                parent.add(name, c.S_IFREG | mode)
                made = True
            elif flags & c.O_EXCL:
                raise refusal(errno.EEXIST)
        node = self._find(fd, path, flags, resolve)
        if node.kind == c.S_IFLNK and not flags & c.O_PATH:
            raise refusal(errno.ELOOP)
        if node.is_directory and flags & (c.O_WRONLY | c.O_RDWR):
            raise refusal(errno.EISDIR)
        handle = Handle(node, flags)
        if node.fs.kind.startswith("cgroup") and not node.is_directory:
            parent, handle.name = self._parent(fd, path)
            handle.cgroup = parent
            node.content[:] = self._cgroup_text(parent, handle.name).encode()
        if flags & c.O_TRUNC and not made:
            node.content.clear()
        return self._install(handle)

    def _cgroup_text(self, cgroup: Node, name: str) -> str:
        if name not in MEMBERS:
            return CGROUP_FILES.get(name, "") + "\n"
        members = [p.pid for p in self.processes.values() if self._is_member(p, cgroup)]
        return "".join(f"{pid}\n" for pid in members)

    @staticmethod
    def _is_member(process: Process, cgroup: Node) -> bool:
        # Not ``is``: an opened mount of a hierarchy is another view of the same directories.
        return any(mine.children is cgroup.children for mine in process.cgroups)

    def _do_close(self, fd: int) -> int:
        if fd >= FIRST_FD and self.process.fds.pop(fd, None) is None:
            raise refusal(errno.EBADF)
        return 0

    def _do_read(self, fd: int, buffer: bytearray, size: int) -> int:
        handle = self._handle(fd)
        if isinstance(handle.extra, Filesystem):
            raise refusal(errno.ENODATA)  # a filesystem context without a message
        data = handle.node.content[handle.offset : handle.offset + size]
        buffer[: len(data)] = data
        handle.offset += len(data)
        return len(data)

    def _do_write(self, fd: int, data: bytearray, size: int) -> int:
        handle = self._handle(fd)
        if handle.cgroup is not None and handle.name in MEMBERS:
            self._join(handle.cgroup, int(data[:size]))
        handle.node.content += data[:size]
        return size

    def _join(self, cgroup: Node, pid: int) -> None:
        process = self.processes[pid or self.process.pid]
        others = [mine for mine in process.cgroups if mine.fs is not cgroup.fs]
        process.cgroups = [*others, cgroup]

    def _do_getdents64(self, fd: int, buffer: bytearray, _size: int) -> int:
        handle = self._handle(fd)
        if handle.offset:
            return 0
        handle.offset = 1
        at = 0
        for name in [".", "..", *handle.node.children]:
            length = 19 + len(name.encode()) + 1
            length += -length % 8
            pack_into("=QqHB", buffer, at, 1, 0, length, 0)
            buffer[at + 19 : at + length] = name.encode().ljust(length - 19, b"\0")
            at += length
        return at

    def _do_ftruncate(self, fd: int, size: int) -> int:
        del self._handle(fd).node.content[size:]
        return 0

    def _do_dup3(self, fd: int, to: int, _flags: int) -> int:
        self.process.fds[to] = Handle(self._handle(fd).node)
        return to

    def _do_fcntl(self, fd: int, command: int, argument: int) -> int:
        handle = self._handle(fd)
        if command == c.F_DUPFD_CLOEXEC:
            return self._install(Handle(handle.node, handle.flags | c.O_CLOEXEC, handle.extra))
        if command == c.F_SETFD:
            handle.flags &= ~c.O_CLOEXEC
        return 0

    def _do_close_range(self, first: int, last: int, flags: int) -> int:
        for fd in [fd for fd in self.process.fds if first <= fd <= last]:
            if flags & c.CLOSE_RANGE_CLOEXEC:
                self.process.fds[fd].flags |= c.O_CLOEXEC
            else:
                del self.process.fds[fd]
        return 0

    def _do_memfd_create(self, _name: bytes, flags: int) -> int:
        node = Node(self.filesystem_of("tmpfs"), c.S_IFREG | 0o777)
        return self._install(Handle(node, c.O_CLOEXEC if flags & c.MFD_CLOEXEC else 0))

    def _do_ioctl(self, fd: int, request: int, _argument: Argument) -> int:
        handle = self._handle(fd)
        if request == c.NS_GET_NSTYPE:
            return int.from_bytes(handle.node.content, "little")
        return self._install(Handle(handle.node)) if request == c.TIOCGPTPEER else 0
