"""process.terminal: a pty of the container's own devpts.

Nothing here trusts a name: ptmx is opened without following symlinks and proven to be the
multiplexer of a devpts, the slave is opened through the master (TIOCGPTPEER), and /dev/console is
created, never followed (CVE-2025-52565, CVE-2026-88264).
"""

from __future__ import annotations

import errno
from _struct import pack, pack_into, unpack_from

from ociruntime import hostos as os
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.process.run import CONSOLE_FD, TERMINAL_FD
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run

PTMX_INO = 2
"""The inode of ptmx in every devpts instance (fs/devpts/inode.c); the root directory is 1."""
TERMIOS = 36
"""The size of the kernel's struct termios: four words of flags, the second for output, and more."""


class OpenTerminal(ContainerStep):
    """Make a pty and send its master to the console socket.

    With ``relayed`` what comes out of it is written to the standard output of `run` or `exec`, a
    terminal of its own or a file: lines end there as the program has ended them (as with runc).
    """

    __slots__ = ("columns", "relayed", "rows")

    kind = "open-terminal"
    stage = "terminal"

    def __init__(self, rows: int, columns: int, *, relayed: bool = False) -> None:
        super().__init__("/process/terminal", "process.terminal")
        self.rows = rows
        self.columns = columns
        self.relayed = relayed

    def describe(self) -> str:
        return "make a terminal and send its master to the console socket"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        master = self._open_master(run)
        kernel.call("ioctl", master, c.TIOCSPTLCK, bytearray(pack("=i", 0)))
        flags = c.O_RDWR | c.O_NOCTTY | c.O_CLOEXEC
        slave = kernel.call("ioctl", master, c.TIOCGPTPEER, flags, opens=True)
        if self.rows and self.columns:
            size = bytearray(pack("=HHHH", self.rows, self.columns, 0, 0))
            kernel.call("ioctl", slave, c.TIOCSWINSZ, size)
        if self.relayed:
            leave_newlines(kernel, slave)
        console = run.fds[CONSOLE_FD]
        kernel.queue(p.SEND, console, master, b"/dev/pts/ptmx", explain=self._not_taken)
        kernel.close(console)
        kernel.close(master)
        run.fds[TERMINAL_FD] = slave

    def _not_taken(self, number: int, _value: int, _text: bytes) -> OSError | StepError:
        if number not in (errno.EPIPE, errno.ECONNRESET):
            return OSError(number, os.strerror(number))
        gone = "whoever listened on the console socket closed it without taking the terminal"
        return StepError(self.label, number, gone)

    def _open_master(self, run: Run) -> int:
        flags = c.O_RDWR | c.O_NOCTTY
        resolve = c.RESOLVE_NO_SYMLINKS
        probe = run.inside().open("/dev/pts/ptmx", c.O_PATH | c.O_NOFOLLOW, resolve)
        self._prove(run, probe, "/dev/pts/ptmx is not the multiplexer of a devpts")
        run.inner.close(probe)
        master = run.inside().open("/dev/pts/ptmx", flags, resolve)
        self._prove(run, master, "/dev/pts/ptmx was exchanged while it was opened")
        return master

    @staticmethod
    def _prove(run: Run, fd: int, otherwise: str) -> None:
        def explain(_number: int, _value: int, _text: bytes) -> OSError:
            return OSError(errno.EINVAL, otherwise)

        run.inner.queue(p.ON, fd, c.DEVPTS_SUPER_MAGIC, PTMX_INO, explain=explain)
        run.inner.queue(p.NODE, fd, c.S_IFCHR, 5, 2, explain=explain)

    def explain(self, number: int) -> str:
        if number == errno.ENOENT:
            return "the container has no /dev/pts/ptmx; mount a devpts on /dev/pts"
        if number == errno.ENOSPC:
            return "the limit of terminals is reached (/proc/sys/kernel/pty/max, devpts option max)"
        return ""


def leave_newlines(kernel: Kernel, terminal: int) -> None:
    """Have ``terminal`` make no carriage return of its own for a newline (ONLCR, termios(3))."""
    settings = bytearray(TERMIOS)
    kernel.ioctl(terminal, c.TCGETS, settings)
    (output,) = unpack_from("=I", settings, 4)
    pack_into("=I", settings, 4, output & ~c.ONLCR)
    kernel.ioctl(terminal, c.TCSETS, settings)


class BindConsole(ContainerStep):
    """/dev/console is the terminal (config-linux.md#default-devices)."""

    __slots__ = ()

    kind = "bind-console"
    stage = "terminal"

    def __init__(self) -> None:
        super().__init__("/process/terminal", "/dev/console")

    def describe(self) -> str:
        return "bind the terminal on /dev/console"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        target = run.inside().itself("/dev/console", directory=False, mode=0o600)
        kernel.refuse_kind(target, c.S_IFLNK, _is_symlink)
        flags = c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH
        mount = kernel.open_tree(run.fds[TERMINAL_FD], "", flags)
        kernel.move_mount(mount, target)
        kernel.close(mount)
        kernel.close(target)


def _is_symlink(_number: int, _value: int, _text: bytes) -> OSError:
    return OSError(errno.ELOOP, "it is a symlink in the container; make it a file")


class AdoptTerminal(ContainerStep):
    """Make the terminal the controlling one and standard input, output and error."""

    __slots__ = ("uid",)

    kind = "adopt-terminal"
    stage = "process"

    def __init__(self, uid: int) -> None:
        super().__init__("/process/terminal", "process.terminal")
        self.uid = uid

    def describe(self) -> str:
        return "make the terminal the controlling terminal and standard streams"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        slave = run.fds[TERMINAL_FD]
        kernel.fchownat(slave, "", self.uid, 0xFFFFFFFF)
        kernel.call("ioctl", slave, c.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            kernel.dup3(slave, number)
        kernel.close(slave)

