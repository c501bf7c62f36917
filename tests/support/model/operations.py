"""oci-setup on the recorder: the operations (tests/support/emulator.py)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.filesystems import Filesystems
from ociruntime.kernel.inroot import components, open_inside
from ociruntime.kernel.numbers import NUMBERS
from tests.support.model.files import refusal
from tests.support.model.places import DIRECTORY, Places, last_of
from tests.support.model.process import Process

NAMES = {number: name for name, number in NUMBERS.items()}
PASSWD_LIMIT = 1 << 20
USER_VIEW_READ_SEARCH = 0x000B0000
# Which operand is memory and no string, and its size: a number, or the operand that has it.
MEMORY: dict[str, tuple[int, int | str]] = {
    "openat2": (2, 24),
    "mount_setattr": (3, 32),
    "ioctl": (2, 40),
    "write": (1, "2"),
    "set_mempolicy": (1, 1024),
    "fsetxattr": (2, "3"),
}
# How many arguments a call of the model takes, where it is not six.
ARGUMENTS = {
    "openat": 4, "openat2": 4, "close": 1, "read": 3, "write": 3, "getdents64": 3, "ftruncate": 2,
    "lseek": 3, "dup3": 3, "fcntl": 3, "close_range": 3, "memfd_create": 2, "ioctl": 3, "socket": 3,
    "statx": 5, "fstatfs": 2, "mkdirat": 3, "mknodat": 4, "symlinkat": 3, "readlinkat": 4,
    "unlinkat": 3, "fchmodat": 3, "fchownat": 5, "open_tree": 3, "fspick": 3, "fsconfig": 5,
    "mount_setattr": 5, "move_mount": 5, "mount": 5, "umount2": 2, "pivot_root": 2, "chroot": 1,
    "fchdir": 1, "getcwd": 2, "sendfile": 4, "getpid": 0, "renameat": 4,
}  # fmt: skip


class Refused(Exception):
    """An operation failed: errno, FAILED_*, what was said."""

    def __init__(self, number: int, why: int = p.PLAINLY, text: bytes = b"") -> None:
        super().__init__(number)
        self.number = number
        self.why = why
        self.text = text


@dataclass
class Operation:
    code: int
    result: int
    skip: int
    flags: int
    tolerated: tuple[int, ...]
    number: int
    output: int
    output_size: int
    operands: list[int | bytes | bytearray]
    # Of the operands that are data: where in the program.
    offsets: list[int]


class Operations(Places):
    """What native/perform.c and those beside it do."""

    content: bytes
    said: bytes
    taken: Sequence[int]

    def __init__(self, process: Process | None) -> None:
        self._process = process
        self._cover = -1
        self._dev = 0
        self._hook: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> Process:
        """The one that the recorder has started last, until it has made another."""
        if self._process is None:
            self._process = self.recorder.processes[max(self.recorder.processes)]
        return self._process

    def perform(self, one: Operation) -> int:
        perform = {
            p.CALL: self._call,
            p.OPEN: self._open,
            p.DIRECTORY: self._directory,
            p.FILE: self._file,
            p.ITSELF: self._itself,
            p.DEVICE: self._device,
            p.SYMLINK: self._symlink,
            p.FILESYSTEM: self._filesystem,
            p.ATTACH: self._attach,
            p.KIND: self._kind,
            p.NODE: self._node,
            p.EMPTY: self._empty,
            p.ON: self._on,
            p.MASK_PATH: self._mask,
            p.READONLY: self._readonly,
            p.PLACE: self._place,
            p.DEV: self._check_dev,
            p.PROGRAM: self._program,
            p.HOME: self._home,
            p.KEYRING: self._keyring,
            p.CLONE: self._clone,
            p.HOOK: self._start_hook,
            p.WAIT: self._wait,
            p.EXECUTE: self._execute,
        }[one.code]
        return perform(one)

    def _strings(self, one: Operation, index: int) -> list[bytes]:
        count = one.operands[index + 1]
        at, found = one.offsets[index], []
        assert isinstance(count, int)
        for _ in range(count):
            end = self.content.index(b"\0", at)
            found.append(self.content[at:end])
            at = end + 1
        return found

    def _call(self, one: Operation) -> int:
        name = NAMES[one.number]
        if name == "close" and one.operands[0] == -1:
            raise refusal(errno.EBADF)
        operands: list[int | bytes | bytearray | None] = list(one.operands[:6])
        if name in MEMORY:
            index, size = MEMORY[name]
            length = int(cast("int", operands[int(size)])) if isinstance(size, str) else size
            if one.offsets[index] >= 0:
                at = one.offsets[index]
                operands[index] = bytearray(self.content[at : at + length].ljust(length, b"\0"))
        return self.recorder.invoke(name, *operands[: ARGUMENTS.get(name, 6)])

    def _where(self, one: Operation) -> tuple[int, str]:
        root, path = one.operands[:2]
        assert isinstance(root, int)
        assert isinstance(path, bytes)
        return root, os.fsdecode(path)

    def _open(self, one: Operation) -> int:
        flags, resolve = cast("list[int]", one.operands[2:4])
        return open_inside(self.recorder, *self._where(one), flags, resolve)

    def _directory(self, one: Operation) -> int:
        mode, making = cast("list[int]", one.operands[2:4])
        root, path = self._where(one)
        follows = making == p.FOLLOWS
        extra = 0 if follows else c.RESOLVE_NO_SYMLINKS
        try:
            return open_inside(self.recorder, root, path, DIRECTORY, extra)
        except FileNotFoundError:
            return self._make(root, components(path), None, mode, follow=follows)

    def _file(self, one: Operation) -> int:
        root, path = self._where(one)
        mode = cast("int", one.operands[2])
        try:
            return open_inside(self.recorder, root, path, c.O_PATH)
        except FileNotFoundError:
            pass

        def make(directory: int, name: str, place: str) -> int:
            self._create(directory, name, mode, place)
            return self.recorder.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)

        return self._make(root, last_of(path), make, 0o755)

    def _create(self, directory: int, name: str, mode: int, place: str) -> None:
        flags = c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW | c.O_WRONLY
        fd = self.recorder.openat(directory, name, flags, mode)
        try:
            self._tell(directory, name, place, directory=False)
        finally:
            self.recorder.close(fd)

    def _parent(self, root: int, path: str) -> tuple[int, str]:
        parts = last_of(path)
        above = "/".join(parts[:-1])
        try:
            return open_inside(self.recorder, root, above, DIRECTORY), parts[-1]
        except FileNotFoundError:
            return self._make(root, parts[:-1], None, 0o755), parts[-1]

    def _itself(self, one: Operation) -> int:
        root, path = self._where(one)
        is_directory, mode = cast("list[int]", one.operands[2:4])
        recorder = self.recorder
        flags = c.O_PATH | c.O_NOFOLLOW | (c.O_DIRECTORY if is_directory else 0)
        parent, name = self._parent(root, path)
        try:
            try:
                return recorder.openat(parent, name, flags)
            except FileNotFoundError:
                pass
            if is_directory:
                recorder.mkdirat(parent, name, mode)
                self._tell(parent, name, path, directory=True)
            else:
                self._create(parent, name, mode, path)
            return recorder.openat(parent, name, flags)
        finally:
            recorder.close(parent)

    def _device(self, one: Operation) -> int:
        root, path = self._where(one)
        plain = os.fsdecode(cast("bytes", one.operands[2]))
        mode, number, uid, gid = cast("list[int]", one.operands[3:7])
        recorder = self.recorder

        def make(directory: int, name: str, place: str) -> int:
            self._refuse_elsewhere(root, plain, directory, place)
            if mode & c.S_IFMT == c.S_IFREG:
                self._create(directory, name, mode & 0o7777, place)
                return recorder.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)
            recorder.mknodat(directory, name, mode, number)
            self._tell(directory, name, place, directory=False)
            if uid or gid:
                recorder.fchownat(directory, name, uid, gid)
            return -1

        found = self._make(root, last_of(path), make, 0o755)
        if found < 0 or mode & c.S_IFMT == c.S_IFREG:
            return max(found, 0)
        stat = recorder.stat(found)
        recorder.close(found)
        kind = mode & c.S_IFMT
        if stat.kind == kind and (
            kind == c.S_IFIFO or stat.rdev == (os.major(number), os.minor(number))
        ):
            return 0
        raise Refused(errno.EEXIST, p.NOT_IT)

    def _refuse_elsewhere(self, root: int, path: str, directory: int, place: str) -> None:
        recorder = self.recorder
        here = recorder.stat(directory).mount_id
        if here in (recorder.stat(root).mount_id, self._dev):
            return
        parts = components(path)[:-1]
        while True:
            try:
                resolve = c.RESOLVE_NO_SYMLINKS
                plain = open_inside(recorder, root, "/".join(parts), DIRECTORY, resolve)
                break
            except OSError:
                parts.pop()
        same = recorder.stat(plain).mount_id == here
        recorder.close(plain)
        if not same:
            raise Refused(errno.EXDEV, p.OTHER_MOUNT, os.fsencode(place))

    def _check_dev(self, one: Operation) -> int:
        recorder, root = self.recorder, cast("int", one.operands[0])
        try:
            plain = open_inside(recorder, root, "/dev", DIRECTORY, c.RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            return 0
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        else:
            recorder.close(plain)
            return 0
        dev = open_inside(recorder, root, "/dev", DIRECTORY)
        here = recorder.stat(dev).mount_id
        recorder.close(dev)
        if here not in (recorder.stat(root).mount_id, self._dev):
            raise Refused(errno.EXDEV)
        return 0

    def _symlink(self, one: Operation) -> int:
        root, path = self._where(one)
        target, how = os.fsdecode(cast("bytes", one.operands[2])), cast("int", one.operands[3])
        recorder = self.recorder
        parent, name = self._parent(root, path)
        try:
            if how & p.NEAR:
                self._refuse_elsewhere(root, path, parent, path)
            if how & p.REPLACES:
                self._remove_other(parent, name, target)
            recorder.symlinkat(target, parent, name)
            self._tell(parent, name, path, directory=False)
        except FileExistsError:
            pass
        finally:
            recorder.close(parent)
        return 0

    def _remove_other(self, parent: int, name: str, target: str) -> None:
        try:
            if self.recorder.readlinkat(parent, name) == target:
                return
        except OSError:
            pass
        try:
            self.recorder.unlinkat(parent, name)
        except FileNotFoundError:
            pass

    def _filesystem(self, one: Operation) -> int:
        kind, source = (os.fsdecode(cast("bytes", text)) for text in one.operands[:2])
        options = [os.fsdecode(text) for text in self._strings(one, 2)]
        flags = [os.fsdecode(text) for text in self._strings(one, 4)]
        return self._new_filesystem(kind, source, options, cast("int", one.operands[6]), flags)

    def _new_filesystem(
        self, kind: str, source: str, options: list[str], attributes: int, flags: list[str]
    ) -> int:
        return Filesystems.new_filesystem(self.recorder, kind, source, options, attributes, flags)

    def _attach(self, one: Operation) -> int:
        mount, target, root = cast("list[int]", one.operands[:3])
        try:
            self._refuse_place(mount, target, root)
            self.recorder.move_mount(mount, target)
            if one.operands[3]:
                self._dev = self.recorder.stat(mount).mount_id
        finally:
            self.recorder.close(target)
        return 0

    def _refuse_place(self, mount: int, target: int, root: int) -> None:
        recorder = self.recorder
        if recorder.stat(target).kind == c.S_IFDIR != recorder.stat(mount).kind:
            raise Refused(errno.EISDIR, p.ON_DIRECTORY)
        if recorder.filesystem(mount) != c.PROC_SUPER_MAGIC:
            try:
                proc = open_inside(recorder, root, "/proc", c.O_PATH | c.O_NOFOLLOW)
            except FileNotFoundError:
                pass
            else:
                here, there = recorder.stat(target), recorder.stat(proc)
                recorder.close(proc)
                if (here.ino, here.device) == (there.ino, there.device):
                    raise Refused(errno.EINVAL, p.FAKE_PROC)

    def _kind(self, one: Operation) -> int:
        fd, kind = cast("list[int]", one.operands[:2])
        if self.recorder.stat(fd).kind != kind:
            raise Refused(errno.EOPNOTSUPP)
        return 0

    def _node(self, one: Operation) -> int:
        fd, *node = cast("list[int]", one.operands[:4])
        if not self.recorder.stat(fd).is_device(*node):
            raise Refused(errno.EOPNOTSUPP)
        return 0

    def _empty(self, one: Operation) -> int:
        stat = self.recorder.stat(cast("int", one.operands[0]))
        if stat.kind != c.S_IFREG or stat.size:
            raise Refused(errno.ENOTEMPTY)
        return 0

    def _on(self, one: Operation) -> int:
        fd, magic, _ = cast("list[int]", one.operands[:3])
        if self.recorder.filesystem(fd) != magic:
            raise Refused(errno.EXDEV)
        return 0

    def _mask(self, one: Operation) -> int:
        recorder = self.recorder
        target = open_inside(recorder, *self._where(one), c.O_PATH)
        try:
            if recorder.stat(target).kind == c.S_IFDIR:
                self._cover_directory(one, target)
                return 0
            cover = self._copy(cast("int", one.operands[5]))
            recorder.mount_setattr(cover, set_=c.MOUNT_ATTR_RDONLY, propagation=c.MS_PRIVATE)
            recorder.move_mount(cover, target)
            recorder.close(cover)
        finally:
            recorder.close(target)
        return 0

    def _cover_directory(self, one: Operation, target: int) -> None:
        if self._cover >= 0:
            cover = self._copy(self._cover)
        else:
            options = [os.fsdecode(text) for text in self._strings(one, 2)]
            attributes = cast("int", one.operands[4])
            cover = self._new_filesystem("tmpfs", "tmpfs", options, attributes, [])
        self.recorder.move_mount(cover, target)
        if self._cover >= 0:
            self.recorder.close(cover)
        else:
            self._cover = cover

    def _copy(self, fd: int, flags: int = 0) -> int:
        return self.recorder.open_tree(fd, "", flags | c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)

    def _readonly(self, one: Operation) -> int:
        recorder = self.recorder
        target = open_inside(recorder, *self._where(one), c.O_PATH)
        try:
            mount = self._copy(target, c.AT_RECURSIVE)
            recorder.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY)
            recorder.move_mount(mount, target)
            recorder.close(mount)
        finally:
            recorder.close(target)
        return 0

    def _place(self, _: Operation) -> int:
        if not self.recorder.getcwd().startswith("/"):
            raise Refused(errno.ENOENT, p.OUTSIDE)
        return 0

    def _program(self, one: Operation) -> int:
        fd = open_inside(self.recorder, *self._where(one), c.O_PATH)
        stat = self.recorder.stat(fd)
        self.recorder.close(fd)
        if stat.kind == c.S_IFDIR:
            raise Refused(errno.EISDIR)
        if not stat.mode & 0o111:
            raise Refused(errno.EACCES)
        return 0

    def _home(self, one: Operation) -> int:
        root, uid = cast("list[int]", one.operands[:2])
        try:
            text = self._passwd(root)
        except OSError:
            return 0
        for line in text.split(b"\n"):
            fields = line.split(b":")
            if len(fields) >= 6 and fields[2] == b"%d" % uid and fields[5] and 0 not in fields[5]:
                self.said = b"HOME=" + fields[5]
                break
        return 0

    def _passwd(self, root: int) -> bytes:
        recorder = self.recorder
        probe = open_inside(recorder, root, "/etc/passwd", c.O_PATH)
        kind = recorder.stat(probe).kind
        recorder.close(probe)
        if kind != c.S_IFREG:
            return b""
        fd = open_inside(recorder, root, "/etc/passwd", c.O_RDONLY | c.O_NONBLOCK | c.O_NOCTTY)
        try:
            return recorder.read_whole(fd, PASSWD_LIMIT)
        finally:
            recorder.close(fd)

    def _keyring(self, one: Operation) -> int:
        invoke = self.recorder.invoke
        key = invoke("keyctl", c.KEYCTL_JOIN_SESSION_KEYRING, cast("bytes", one.operands[0]))
        text = bytearray(512)
        size = invoke("keyctl", c.KEYCTL_DESCRIBE, key, text, len(text))
        permissions = int(bytes(text[:size]).split(b";")[3], 16)
        return invoke("keyctl", c.KEYCTL_SETPERM, key, permissions | USER_VIEW_READ_SEARCH)

    def _clone(self, one: Operation) -> int:
        flags, cgroup = cast("list[int]", one.operands[:2])
        before = self.process
        pid, pidfd = self.recorder.clone(flags, cgroup)
        self._process = self.recorder.processes[pid]
        self.process.fds.pop(pidfd, None)
        self.process.fds.pop(cgroup, None)
        self.recorder.end(before, status=0)
        return pid

    def _start_hook(self, one: Operation) -> int:
        """A real one, on the host."""
        stdin, stdout, stderr = self.taken
        environment = dict(text.split(b"=", 1) for text in self._strings(one, 3))
        self._hook = subprocess.Popen(
            self._strings(one, 1),
            executable=cast("bytes", one.operands[0]),
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        return self._hook.pid

    def _wait(self, _: Operation) -> int:
        assert self._hook is not None
        code = self._hook.wait()
        return -code if code < 0 else code << 8

    def _execute(self, one: Operation) -> int:
        fd = cast("int", one.operands[0])
        self.put(p.RECORD_LEAVING, 0)
        self.recorder.execveat(fd, self._strings(one, 1), self._strings(one, 3))
        raise AssertionError("unreachable")
