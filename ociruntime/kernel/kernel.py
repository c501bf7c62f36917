"""The syscalls we make, one short method each, all through ``Kernel.invoke``.

Every method raises ``OSError`` with the kernel's errno. Paths are ``str`` without NUL; the native
``call`` refuses a NUL in a C string, so what we checked is what the kernel sees. A path is resolved
by the caller's rules: methods that take a host path say so; everything inside a container goes
through ``kernel.inroot``.

The double of the tests (tests/support/model) overrides ``invoke``, ``clone``, ``run_program``,
``start_program``, ``execveat`` and ``ends_within`` and nothing else.
"""

from __future__ import annotations

import errno
from _struct import pack, unpack_from

from ociruntime import hostos as os
from ociruntime.kernel import _sys
from ociruntime.kernel import constants as c
from ociruntime.kernel.filesystems import Filesystems
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.kernel.processes import Processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Argument = int | bytes | bytearray | None

# Bytes that are read at once.
PIECE = 8192
# Seconds.
FOR_EVER = -1.0


class Stat:
    """What statx(2) says of an inode: mode, inode and device numbers, owner, size in bytes, mount
    id.
    """

    __slots__ = ("device", "gid", "ino", "links", "mode", "mount_id", "rdev", "size", "uid")

    def __init__(self, raw: bytearray) -> None:
        self.links, self.uid, self.gid = unpack_from("=III", raw, 16)
        self.mode = unpack_from("=H", raw, 28)[0]
        self.ino, self.size = unpack_from("=QQ", raw, 32)
        self.rdev: tuple[int, int] = unpack_from("=II", raw, 128)
        self.device: tuple[int, int] = unpack_from("=II", raw, 136)
        self.mount_id: int = unpack_from("=Q", raw, 144)[0]

    @property
    def kind(self) -> int:
        """The file type bits of ``mode`` (``S_IFDIR``, ...)."""
        return int(self.mode) & c.S_IFMT

    def is_device(self, kind: int, major: int, minor: int) -> bool:
        """True for exactly this character or block device."""
        return self.kind == kind and self.rdev == (major, minor)


class AtOnce:
    """See ``Kernel.at_once``."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class Kernel(Processes, Filesystems):
    """The real kernel.

    parenthood  the flag of clone3(2) that makes whom a program of ours clones our own child; 0
                where somebody above us adopts it
    """

    parenthood = c.CLONE_PARENT

    def invoke(self, name: str, *args: Argument) -> int:
        """Make the syscall ``name``; the one place where a refusal becomes an exception."""
        result = _sys.call(NUMBERS[name], *args)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def at_once(self) -> AtOnce:
        """A context in which a refusal is raised by the call that it meets: here it always is."""
        return AtOnce()

    # files

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Open a *host* path; always close-on-exec."""
        return self.invoke("openat", c.AT_FDCWD, os.fsencode(path), flags | c.O_CLOEXEC, mode)

    def openat(self, directory: int, name: str, flags: int, mode: int = 0) -> int:
        """openat(2), for directories that no container can change; always close-on-exec."""
        return self.invoke("openat", directory, os.fsencode(name), flags | c.O_CLOEXEC, mode)

    def openat2(self, directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
        """openat2(2) with RESOLVE_* flags; always close-on-exec."""
        how = bytearray(pack("=QQQ", flags | c.O_CLOEXEC, mode, resolve))
        return self.invoke("openat2", directory, os.fsencode(path), how, 24)

    def close(self, fd: int) -> None:
        self.invoke("close", fd)

    def read(self, fd: int, size: int) -> bytes:
        """At most ``size`` bytes, by one read(2)."""
        buffer = bytearray(size)
        return bytes(buffer[: self.invoke("read", fd, buffer, size)])

    def read_whole(self, fd: int, limit: int = 1 << 30) -> bytes:
        """A file from where ``fd`` stands to its end, but no more than ``limit`` bytes."""
        text = b""
        while len(text) < limit and (
            # A large buffer costs a page fault for each of its pages, however short the file is.
            part := self.read(fd, min(PIECE, limit - len(text)))
        ):
            text += part
        return text

    def write(self, fd: int, data: bytes) -> int:
        """One write(2): kernel files take their value in one piece or not at all."""
        return self.invoke("write", fd, bytearray(data), len(data))

    def write_all(self, fd: int, data: bytes) -> None:
        """Write the whole of ``data`` to a regular file or memfd."""
        while data:
            data = data[self.write(fd, data) :]

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        return self.invoke("lseek", fd, offset, whence)

    def ftruncate(self, fd: int, size: int) -> None:
        self.invoke("ftruncate", fd, size)

    def stat(self, fd: int, name: str = "", flags: int = 0) -> Stat:
        """statx(2) of ``fd`` itself, or of ``name`` in the directory ``fd`` without following
        it.
        """
        raw = bytearray(256)
        how = flags | (c.AT_SYMLINK_NOFOLLOW if name else c.AT_EMPTY_PATH)
        self.invoke("statx", fd, os.fsencode(name), how, c.STATX_BASIC_AND_MOUNT, raw)
        return Stat(raw)

    def filesystem(self, fd: int) -> int:
        """The magic number of the filesystem that ``fd`` is on (fstatfs(2))."""
        raw = bytearray(120)
        self.invoke("fstatfs", fd, raw)
        return int(unpack_from("=q", raw)[0])

    def access_time(self, mount: int) -> int:
        """MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME or, for relatime, 0 (statfs(2), f_flags)."""
        raw = bytearray(120)
        self.invoke("fstatfs", mount, raw)
        flags = unpack_from("=q", raw, 80)[0]
        if flags & c.ST_NOATIME:
            return c.MOUNT_ATTR_NOATIME
        return 0 if flags & c.ST_RELATIME else c.MOUNT_ATTR_STRICTATIME

    def mkdirat(self, directory: int, name: str, mode: int) -> None:
        self.invoke("mkdirat", directory, os.fsencode(name), mode)

    def mknodat(self, directory: int, name: str, mode: int, device: int) -> None:
        self.invoke("mknodat", directory, os.fsencode(name), mode, device)

    def symlinkat(self, target: str, directory: int, name: str) -> None:
        self.invoke("symlinkat", os.fsencode(target), directory, os.fsencode(name))

    def unlinkat(self, directory: int, name: str, flags: int = 0) -> None:
        self.invoke("unlinkat", directory, os.fsencode(name), flags)

    def renameat(self, directory: int, old: str, new: str) -> None:
        self.invoke("renameat", directory, os.fsencode(old), directory, os.fsencode(new))

    def exchange(self, directory: int, one: str, other: str) -> None:
        """Let two names of a directory change places (renameat2(2), RENAME_EXCHANGE)."""
        names = os.fsencode(one), os.fsencode(other)
        self.invoke("renameat2", directory, names[0], directory, names[1], c.RENAME_EXCHANGE)

    def readlinkat(self, directory: int, name: str) -> str:
        """The target of a symlink (or of the O_PATH symlink fd when ``name`` is empty)."""
        buffer = bytearray(4096)
        size = self.invoke("readlinkat", directory, os.fsencode(name), buffer, len(buffer))
        return os.fsdecode(bytes(buffer[:size]))

    def fchmod(self, fd: int, mode: int) -> None:
        self.invoke("fchmod", fd, mode)

    def fchmodat(self, directory: int, name: str, mode: int) -> None:
        """Chmod of ``name``; it follows symlinks, so only for names that this process just made."""
        self.invoke("fchmodat", directory, os.fsencode(name), mode)

    def fchownat(self, directory: int, name: str, uid: int, gid: int) -> None:
        """Change the owner of ``name`` in ``directory`` (of the fd itself when empty), never
        through a symlink.
        """
        flags = c.AT_SYMLINK_NOFOLLOW | (0 if name else c.AT_EMPTY_PATH)
        self.invoke("fchownat", directory, os.fsencode(name), uid, gid, flags)

    def names(self, fd: int) -> list[str]:
        """The names in a directory that was opened for reading, without ``.`` and ``..``."""
        return list(self.each_name(fd))

    def each_name(self, fd: int) -> Iterator[str]:
        """The same one after the other: somebody may have made more than there is memory for."""
        buffer = bytearray(32768)
        while size := self.invoke("getdents64", fd, buffer, len(buffer)):
            at = 0
            while at < size:
                length = unpack_from("=H", buffer, at + 16)[0]
                name = bytes(buffer[at + 19 : at + length]).split(b"\0", 1)[0]
                if name not in (b".", b".."):
                    yield os.fsdecode(name)
                at += length

    def dup3(self, fd: int, to: int) -> None:
        """dup3(2) without close-on-exec; ``fd`` and ``to`` must differ."""
        self.invoke("dup3", fd, to, 0)

    def dup_above(self, fd: int, lowest: int) -> int:
        """A close-on-exec duplicate of ``fd`` that is not below ``lowest``."""
        return self.invoke("fcntl", fd, c.F_DUPFD_CLOEXEC, lowest)

    def keep_on_exec(self, fd: int) -> None:
        """Let ``fd`` survive the next execve(2)."""
        self.invoke("fcntl", fd, c.F_SETFD, 0)

    def close_on_exec_from(self, first: int) -> None:
        """Mark every fd from ``first`` on close-on-exec."""
        self.invoke("close_range", first, c.LAST_FD, c.CLOSE_RANGE_CLOEXEC)

    def close_from(self, first: int, last: int = 0xFFFFFFFF) -> None:
        """Really close every fd from ``first`` to ``last``."""
        self.invoke("close_range", first, last, 0)

    def memfd(self, name: str, flags: int = 0) -> int:
        return self.invoke("memfd_create", os.fsencode(name), flags | c.MFD_CLOEXEC)

    def seal(self, fd: int) -> None:
        """Forbid every later change of a memfd, this one included (fcntl(2) F_ADD_SEALS)."""
        seals = c.F_SEAL_SEAL | c.F_SEAL_SHRINK | c.F_SEAL_GROW | c.F_SEAL_WRITE
        self.invoke("fcntl", fd, c.F_ADD_SEALS, seals)

    def ioctl(self, fd: int, request: int, argument: Argument = None) -> int:
        return self.invoke("ioctl", fd, request, argument)

    # mounts

    def open_tree(self, directory: int, path: str, flags: int) -> int:
        return self.invoke("open_tree", directory, os.fsencode(path), flags | c.O_CLOEXEC)

    def mount_setattr(
        self,
        mount: int,
        *,
        set_: int = 0,
        clear: int = 0,
        propagation: int = 0,
        userns: int = 0,
        recursive: bool = False,
    ) -> None:
        """mount_setattr(2) on the mount that ``mount`` refers to, never by path."""
        attributes = bytearray(pack("=QQQQ", set_, clear, propagation, userns))
        flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if recursive else 0)
        self.invoke("mount_setattr", mount, b"", flags, attributes, 32)

    def move_mount(self, mount: int, target: int) -> None:
        """Attach the mount of one fd on the directory or file of another."""
        flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
        self.invoke("move_mount", mount, b"", target, b"", flags)

    def mount_here(self, source: str, filesystem: str, flags: int, data: str) -> None:
        """mount(2) on the current directory, for options too long for fsconfig(2) (255 bytes)."""
        kind = os.fsencode(filesystem)
        self.invoke("mount", os.fsencode(source), b".", kind, flags, os.fsencode(data) or None)

    def unmount_here(self) -> None:
        """Detach the mount whose root is the current directory."""
        self.invoke("umount2", b".", c.MNT_DETACH)

    def unmount_name(self, name: str) -> None:
        """Detach what is mounted on ``name`` in the current directory, never through a symlink."""
        self.invoke("umount2", os.fsencode(name), c.MNT_DETACH | c.UMOUNT_NOFOLLOW)

    def pivot_root_here(self) -> None:
        """pivot_root(".", "."): the old root ends up mounted over the new one (pivot_root(2),
        NOTES).
        """
        self.invoke("pivot_root", b".", b".")

    def mount_move_here(self, target: int) -> None:
        """Move the mount whose root is the current directory onto the directory ``target``."""
        self.invoke("move_mount", c.AT_FDCWD, b".", target, b"", c.MOVE_MOUNT_T_EMPTY_PATH)

    def chroot_here(self) -> None:
        self.invoke("chroot", b".")

    def fchdir(self, fd: int) -> None:
        self.invoke("fchdir", fd)

    def getcwd(self) -> str:
        """The raw answer of getcwd(2), ``(unreachable)`` prefix included, which libc would hide."""
        buffer = bytearray(4096)
        size = self.invoke("getcwd", buffer, len(buffer))
        return os.fsdecode(bytes(buffer[: size - 1]))

    # namespaces and processes

    def setns(self, fd: int, kind: int) -> None:
        self.invoke("setns", fd, kind)

    def unshare(self, flags: int) -> None:
        self.invoke("unshare", flags)

    def namespace_type(self, fd: int) -> int:
        """The CLONE_NEW* flag of a namespace fd (ioctl_ns(2))."""
        return self.invoke("ioctl", fd, c.NS_GET_NSTYPE)

    def prctl(self, option: int, argument: int | bytes = 0) -> int:
        return self.invoke("prctl", option, argument, 0, 0, 0)

    def pidfd_open(self, pid: int) -> int:
        """A pidfd; ``ProcessLookupError`` when there is no such process (any more).

        Of one that is reaped while it looks, the kernel says EINVAL (pidfd_prepare() in Linux's
        kernel/fork.c): the number is known then, but to no process.
        """
        try:
            return self.invoke("pidfd_open", pid, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        self.invoke("pidfd_send_signal", pidfd, number, None, 0)

    def kill(self, pid: int, number: int) -> None:
        self.invoke("kill", pid, number)

    def wait_pidfd(self, pidfd: int) -> tuple[int, int]:
        """Wait for a child: ``(si_code, si_status)`` of waitid(2).

        One that has ended stays a zombie as long as a tracer does not wait for it (ptrace(2)), and
        waitid(2) would wait for that: a hostile one never does.
        """
        info = bytearray(128)
        for _ in range(2):
            self.invoke("waitid", c.P_PIDFD, pidfd, info, c.WEXITED | c.WNOHANG, None)
            code, status = unpack_from("=i", info, 8)[0], unpack_from("=i", info, 24)[0]
            if code:
                return code, status
            self.ends_within(pidfd, FOR_EVER)
        from ociruntime.kernel.kept import wait_for_kept

        return wait_for_kept(self, pidfd)

    def reap(self, pidfd: int, seconds: float) -> bool:
        """See to it that a child which was killed does not stay as a zombie; False when it has not
        ended within ``seconds``.
        """
        if not self.ends_within(pidfd, seconds):
            return False
        self.wait_pidfd(pidfd)
        return True

    def ends_within(self, pidfd: int, seconds: float) -> bool:
        """Wait for the end of a process, but no longer than ``seconds``."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(pidfd, POLLIN)
        return bool(poller.poll(None if seconds == FOR_EVER else seconds * 1000))

    def has_ended(self, pidfd: int) -> bool:
        """Whether a child has ended; it stays there to be waited for."""
        info = bytearray(128)
        flags = c.WEXITED | c.WNOHANG | c.WNOWAIT
        self.invoke("waitid", c.P_PIDFD, pidfd, info, flags, None)
        return bool(unpack_from("=i", info, 8)[0])

    def setsid(self) -> None:
        self.invoke("setsid")

    def setresuid(self, uid: int) -> None:
        self.invoke("setresuid", uid, uid, uid)

    def setresgid(self, gid: int) -> None:
        self.invoke("setresgid", gid, gid, gid)

    def setgroups(self, groups: list[int]) -> None:
        self.invoke("setgroups", len(groups), bytearray(pack(f"={len(groups)}I", *groups)) or None)

    def umask(self, mask: int) -> int:
        return self.invoke("umask", mask)

    def sethostname(self, name: str) -> None:
        data = os.fsencode(name)
        self.invoke("sethostname", data, len(data))

    def setdomainname(self, name: str) -> None:
        data = os.fsencode(name)
        self.invoke("setdomainname", data, len(data))

    def prlimit(self, pid: int, resource: int, soft: int, hard: int) -> None:
        self.invoke("prlimit64", pid, resource, bytearray(pack("=QQ", soft, hard)), None)

    def get_rlimit(self, pid: int, resource: int) -> tuple[int, int]:
        """(soft, hard) limit of a process."""
        raw = bytearray(16)
        self.invoke("prlimit64", pid, resource, None, raw)
        soft, hard = unpack_from("=QQ", raw)
        return soft, hard

    def knows_seccomp_flags(self, flags: int) -> bool:
        """Whether seccomp(2) takes these SECCOMP_FILTER_FLAG_*; no filter is loaded."""
        try:
            self.invoke("seccomp", c.SECCOMP_SET_MODE_FILTER, flags, None)
        except OSError as error:
            # The flags are looked at before the filter, which is missing.
            return error.errno == errno.EFAULT
        return False
