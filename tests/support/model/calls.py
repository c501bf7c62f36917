"""The system calls of ``recorder.Recorder``, carried out on a model of processes, descriptors,
files and mounts.

Only what the runtime uses is modelled, and only as far as a test could tell the difference: kinds
and existence of files, mounts, membership of cgroups, life and death of processes. Each
``_do_NAME`` takes the arguments of ``Kernel.invoke``.
"""

from __future__ import annotations

import errno
from _struct import pack_into, unpack_from

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from tests.support.model.files import MAGIC, Filesystem, Namespace, Node, refusal
from tests.support.model.process import Handle, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    Argument = int | bytes | bytearray | None

# Far above every real descriptor and every real pid, so that a mix-up is an error and not an
# accident.
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


class ModelCalls:
    """The model: ``process`` makes the calls, ``processes`` are all by pid, ``host`` is the first
    of them.
    """

    def __init__(self) -> None:
        self._minor = 0
        self._next_fd = FIRST_FD
        root = Node(self.filesystem_of("disk"), c.S_IFDIR | 0o755)
        self._nowhere = Node(self.filesystem_of("disk"), c.S_IFCHR | 0o666)
        self.host = self.process = Process(FIRST_PID, Namespace(root))
        self.processes = {FIRST_PID: self.host}

    def filesystem_of(self, kind: str) -> Filesystem:
        """A new superblock."""
        self._minor += 1
        return Filesystem(kind, self._minor)

    def end(self, process: Process, code: int = EXITED, status: int = 1) -> None:
        """A process ends; it stays a zombie until waitid(2)."""
        if process.result is None:
            process.result = (code, status)
            process.fds = {}
            process.cgroups = []

    # descriptors and files

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
        return self.process.namespace.find(self._start(fd), os.fsdecode(path), flags, resolve)

    def _parent(self, fd: int, path: bytes) -> tuple[Node, str]:
        head, _, name = os.fsdecode(path).rpartition("/")
        return self._find(fd, os.fsencode(head), c.O_DIRECTORY), name

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
            length = 19 + len(os.fsencode(name)) + 1
            length += -length % 8
            pack_into("=QqHB", buffer, at, 1, 0, length, 0)
            buffer[at + 19 : at + length] = os.fsencode(name).ljust(length - 19, b"\0")
            at += length
        return at

    def _do_sendfile(self, to: int, fd: int, _offset: object, size: int) -> int:
        handle = self._handle(fd)
        data = handle.node.content[handle.offset : handle.offset + size]
        self._handle(to).node.content += data
        handle.offset += len(data)
        return len(data)

    def _do_ftruncate(self, fd: int, size: int) -> int:
        content = self._handle(fd).node.content
        del content[size:]
        content += bytes(size - len(content))
        return 0

    def _do_lseek(self, fd: int, offset: int, whence: int) -> int:
        """No file has a hole but the one at its end; what is written goes to the end."""
        handle = self._handle(fd)
        size = len(handle.node.content)
        if whence in (c.SEEK_DATA, c.SEEK_HOLE) and offset >= size:
            raise refusal(errno.ENXIO)
        handle.offset = size if whence == c.SEEK_HOLE else offset
        return handle.offset

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
        return self._install(Handle(node, closes(flags & c.MFD_CLOEXEC)))

    def _do_ioctl(self, fd: int, request: int, argument: Argument = None) -> int:
        handle = self._handle(fd)
        if request == c.NS_GET_NSTYPE:
            return int.from_bytes(handle.node.content, "little")
        if request == c.TIOCGPTPEER and isinstance(argument, int):
            return self._install(Handle(handle.node, argument))
        return 0

    def _do_socket(self, _family: int, flags: int, _protocol: int) -> int:
        return self._install(Handle(self._nowhere, closes(flags & c.SOCK_CLOEXEC)))

    def _do_statx(self, fd: int, name: bytes, _flags: int, _mask: int, raw: bytearray) -> int:
        node = self._find(fd, name, c.O_NOFOLLOW) if name else self._handle(fd).node
        links = 2 + sum(child.is_directory for child in node.children.values())
        pack_into("=III", raw, 16, links if node.is_directory else 1, node.uid, node.gid)
        pack_into("=H", raw, 28, node.mode)
        pack_into("=QQ", raw, 32, node.ino, len(node.content))
        pack_into("=IIII", raw, 128, *node.rdev, 0, node.fs.minor)
        return 0

    def _do_fstatfs(self, fd: int, raw: bytearray) -> int:
        pack_into("=q", raw, 0, MAGIC.get(self._handle(fd).node.fs.kind, 0))
        return 0

    def _do_mkdirat(self, fd: int, path: bytes, mode: int) -> int:
        parent, name = self._parent(fd, path)
        parent.add(name, c.S_IFDIR | mode)
        return 0

    def _do_mknodat(self, fd: int, path: bytes, mode: int, device: int) -> int:
        parent, name = self._parent(fd, path)
        parent.add(name, mode).rdev = (device >> 8 & 0xFFF, device & 0xFF)
        return 0

    def _do_symlinkat(self, target: bytes, fd: int, path: bytes) -> int:
        parent, name = self._parent(fd, path)
        parent.add(name, c.S_IFLNK | 0o777).content += target
        return 0

    def _do_readlinkat(self, fd: int, path: bytes, buffer: bytearray, _size: int) -> int:
        node = self._find(fd, path, c.O_NOFOLLOW) if path else self._handle(fd).node
        if node.kind != c.S_IFLNK:
            raise refusal(errno.EINVAL)
        buffer[: len(node.content)] = node.content
        return len(node.content)

    def _do_unlinkat(self, fd: int, path: bytes, flags: int) -> int:
        parent, name = self._parent(fd, path)
        node = parent.children.get(name)
        if node is None:
            raise refusal(errno.ENOENT)
        if bool(flags & c.AT_REMOVEDIR) != node.is_directory:
            raise refusal(errno.EISDIR if node.is_directory else errno.ENOTDIR)
        if node.children and not node.is_cgroup:
            raise refusal(errno.ENOTEMPTY)
        if node.is_cgroup and (node.children or self._cgroup_text(node, MEMBERS[0])):
            raise refusal(errno.EBUSY)
        del parent.children[name]
        return 0

    def _do_renameat(self, old_fd: int, old: bytes, new_fd: int, new: bytes) -> int:
        parent, name = self._parent(old_fd, old)
        target, new_name = self._parent(new_fd, new)
        if name not in parent.children:
            raise refusal(errno.ENOENT)
        target.children[new_name] = parent.children.pop(name)
        return 0

    def _do_fchmod(self, fd: int, mode: int) -> int:
        node = self._handle(fd).node
        node.mode = node.kind | mode
        return 0

    def _do_fchmodat(self, fd: int, path: bytes, mode: int) -> int:
        node = self._find(fd, path)
        node.mode = node.kind | mode
        return 0

    def _do_fchownat(self, fd: int, path: bytes, uid: int, gid: int, _flags: int) -> int:
        node = self._find(fd, path, c.O_NOFOLLOW) if path else self._handle(fd).node
        node.uid, node.gid = uid, gid
        return 0

    # mounts

    def _do_open_tree(self, fd: int, path: bytes, flags: int) -> int:
        node = self._find(fd, path) if path else self._handle(fd).node
        if flags & c.OPEN_TREE_CLONE:
            node = node.view()
        return self._install(Handle(node, flags & c.O_CLOEXEC))

    def _do_fsopen(self, name: bytes, flags: int) -> int:
        filesystem = self.filesystem_of(name.decode())
        return self._install(Handle(self._nowhere, closes(flags & c.FSOPEN_CLOEXEC), filesystem))

    def _do_fspick(self, fd: int, _path: bytes, flags: int) -> int:
        node = self._handle(fd).node
        return self._install(Handle(self._nowhere, closes(flags & c.FSPICK_CLOEXEC), node.fs))

    def _do_fsconfig(self, _fd: int, _command: int, _key: object, _value: object, _aux: int) -> int:
        return 0

    def _do_fsmount(self, fd: int, flags: int, _attributes: int) -> int:
        filesystem = self._handle(fd).extra
        assert isinstance(filesystem, Filesystem)
        root = Node(filesystem, c.S_IFDIR | 0o755)
        if filesystem.kind == "devpts":
            root.add("ptmx", c.S_IFCHR | 0o666).rdev = (5, 2)
        return self._install(Handle(root, closes(flags & c.FSMOUNT_CLOEXEC)))

    def _do_mount_setattr(
        self, fd: int, _path: bytes, _flags: int, _attributes: bytearray, _size: int
    ) -> int:
        self._handle(fd)
        return 0

    def _do_move_mount(self, fd: int, path: bytes, to: int, _path: bytes, _flags: int) -> int:
        node = self._find(fd, path) if path else self._handle(fd).node
        target = self._handle(to).node
        if node.is_directory != target.is_directory:
            raise refusal(errno.ENOTDIR)
        self.process.namespace.mounts[target] = node
        return 0

    def _do_mount(self, _source: bytes, _to: bytes, kind: bytes, _flags: int, _data: object) -> int:
        root = Node(self.filesystem_of(kind.decode()), c.S_IFDIR | 0o755)
        self.process.namespace.mounts[self.process.cwd] = root
        return 0

    def _do_umount2(self, _path: bytes, _flags: int) -> int:
        return 0

    def _do_pivot_root(self, _new: bytes, _old: bytes) -> int:
        self.process.namespace.root = self.process.cwd
        return 0

    def _do_chroot(self, _path: bytes) -> int:
        self.process.namespace.root = self.process.cwd
        return 0

    def _do_fchdir(self, fd: int) -> int:
        node = self._handle(fd).node
        if not node.is_directory:
            raise refusal(errno.ENOTDIR)
        self.process.cwd = node
        return 0

    def _do_getcwd(self, buffer: bytearray, _size: int) -> int:
        buffer[:2] = b"/\0"
        return 2

    # processes

    def _do_prlimit64(self, _pid: int, _number: int, _new: object, old: bytearray | None) -> int:
        if old is not None:
            pack_into("=QQ", old, 0, 1024, 1 << 20)
        return 0

    def _do_keyctl(self, command: int, *args: Argument) -> int:
        buffer = args[1] if len(args) > 1 else None
        if command != c.KEYCTL_DESCRIBE or not isinstance(buffer, bytearray):
            return 1
        text = b"keyring;0;0;3f030000;_ses\0"
        buffer[: len(text)] = text
        return len(text)

    def _do_pidfd_open(self, pid: int, _flags: int) -> int:
        process = self.processes.get(pid)
        if process is None or process.reaped:
            raise refusal(errno.ESRCH)
        return self._install(Handle(self._nowhere, c.O_CLOEXEC, process))

    def _do_pidfd_send_signal(self, fd: int, number: int, _info: object, _flags: int) -> int:
        process = self._handle(fd).extra
        assert isinstance(process, Process)
        if process.result is not None:
            raise refusal(errno.ESRCH)
        if number == c.SIGKILL:
            self.end(process, KILLED, number)
        return 0

    def _do_waitid(self, _kind: int, fd: int, info: bytearray, options: int, _usage: object) -> int:
        process = self._handle(fd).extra
        assert isinstance(process, Process)
        if process.reaped:
            raise refusal(errno.ECHILD)
        if process.result is None:
            if options & c.WNOHANG:
                return 0
            self.end(process, EXITED, 0)
        assert process.result is not None
        pack_into("=i", info, 8, process.result[0])
        pack_into("=i", info, 16, process.pid)
        pack_into("=i", info, 24, process.result[1])
        process.reaped = not options & c.WNOWAIT
        return 0

    def _do_getpid(self) -> int:
        return self.process.pid

    def _nothing(self, *_args: Argument) -> int:
        return 0

    # What changes only the process itself, or kernel state that no step reads back.
    _do_execveat = _do_prctl = _do_unshare = _do_setns = _do_setsid = _do_umask = _nothing
    _do_setresuid = _do_setresgid = _do_setgroups = _do_sethostname = _do_setdomainname = _nothing
    _do_kill = _do_bpf = _do_personality = _do_set_mempolicy = _do_fsetxattr = _nothing
    _do_sched_setattr = _do_sched_setaffinity = _do_ioprio_set = _do_seccomp = _nothing


def closes(flag: int) -> int:
    """O_CLOEXEC where a call's own close-on-exec ``flag`` is set."""
    return c.O_CLOEXEC if flag else 0
