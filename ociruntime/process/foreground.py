"""Staying with a process until it ends: signals are passed on, a terminal is relayed, the status is
ours.

Only ``run`` and ``exec`` without --detach come here.
"""

from __future__ import annotations

import errno
from _socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SOCK_STREAM, socket
from _struct import unpack
from fcntl import ioctl
from select import POLLHUP, POLLIN, POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.signals import SIGWINCH, Children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.kernel.signals import Signals
    from ociruntime.process.run import Run

STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 65536
EXITED = 1


def receive_master(connection: int) -> int:
    """The terminal's master that init sent; -1 when it died first. Closes ``connection``."""
    receiver = socket(AF_UNIX, SOCK_STREAM, 0, connection)
    try:
        _, ancillary, _, _ = receiver.recvmsg(64, CMSG_LEN(4), MSG_CMSG_CLOEXEC)
    finally:
        receiver.close()
    for _, _, data in ancillary:
        return int(unpack("=i", data[:4])[0])
    return -1


def stay(run: Run, signals: Signals, master: int) -> int:
    """Wait for the end of ``run``'s process; the exit status a shell would show (128 + n for signal
    n).

    Parameters: ``master`` is its terminal's master, -1 without one.
    """
    relay = Relay(master) if master >= 0 else None
    poller = poll()
    poller.register(run.pidfd, POLLIN)
    poller.register(signals.fd, POLLIN)
    children = Children(run.kernel)
    poller.register(children.fd, POLLIN)
    _bury(run)  # those of the hooks
    if relay:
        relay.register(poller)
    try:
        while True:
            for fd, event in poller.poll():
                if fd == run.pidfd:
                    return _status(run)
                if fd == signals.fd:
                    for number in signals.read():
                        _pass_on(run, relay, number)
                elif fd == children.fd:
                    children.clear()
                    _bury(run)
                elif relay:
                    relay.serve(poller, fd, event)
    finally:
        if relay:
            relay.close()


def _pass_on(run: Run, relay: Relay | None, number: int) -> None:
    if number == SIGWINCH and relay:
        relay.resize()
        return
    try:
        run.kernel.pidfd_send_signal(run.pidfd, number)
    except ProcessLookupError:
        pass


def _bury(run: Run) -> None:
    """Wait for orphans that became ours (prctl(2), PR_SET_CHILD_SUBREAPER).

    The first process of a pid namespace cannot end before everybody who was executed into it has
    been waited for (pid_namespaces(7)), so that without this we would wait for it for ever.
    """
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, flags)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == run.pid:
            return
        os.waitpid(ended.si_pid, 0)


def _status(run: Run) -> int:
    code, status = run.kernel.wait_pidfd(run.pidfd)
    run.pid = 0
    return status if code == EXITED else 128 + status


class Relay:
    """Copies between our terminal (or pipes) and the container's terminal.

    What the container does not take holds nobody up: our input waits, all else goes on.
    """

    __slots__ = ("_cooked", "_gone", "_pending", "master")

    def __init__(self, master: int) -> None:
        self.master = master
        self._cooked: list[Any] | None = None
        self._pending = b""
        self._gone = False
        os.set_blocking(master, False)
        self.resize()
        if os.isatty(STDIN):
            import termios
            import tty

            self._cooked = termios.tcgetattr(STDIN)
            tty.setraw(STDIN)

    def register(self, poller: poll) -> None:
        poller.register(self.master, POLLIN)
        poller.register(STDIN, POLLIN)

    def resize(self) -> None:
        """Give the container's terminal the size of ours: of the first of our streams that is a
        terminal and knows its size. script(1) without one of its own says 0 by 0, which must not
        undo process.consoleSize.
        """
        size = bytearray(8)
        for stream in (STDIN, STDOUT, STDERR):
            try:
                ioctl(stream, c.TIOCGWINSZ, size)
            except OSError:
                continue  # no terminal
            rows, columns, _, _ = unpack("=4H", size)
            if rows and columns:
                ioctl(self.master, c.TIOCSWINSZ, bytes(size))
                return

    def serve(self, poller: poll, fd: int, event: int) -> None:
        """Move what is ready on ``fd``."""
        if fd == STDIN:
            # Not looked at again until the container has taken all of it.
            poller.unregister(STDIN)
            self._pending = os.read(STDIN, PIECE)
            if self._pending:
                self._to_them(poller)
            return
        if event & POLLOUT:
            self._to_them(poller)
        if event & (POLLIN | POLLHUP) and not self._to_us() and event & POLLHUP:
            self._gone = True
            poller.unregister(self.master)

    def _to_us(self) -> bool:
        try:
            data = os.read(self.master, PIECE)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False  # the last slave was closed
        _write_all(STDOUT, data)
        return bool(data)

    def _to_them(self, poller: poll) -> None:
        """Write what the container's terminal takes; wait for it to take more, or read on."""
        if self._gone:
            return
        try:
            while self._pending:
                self._pending = self._pending[os.write(self.master, self._pending) :]
        except BlockingIOError:
            poller.register(self.master, POLLIN | POLLOUT)
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return  # the last slave was closed
        poller.register(self.master, POLLIN)
        poller.register(STDIN, POLLIN)

    def close(self) -> None:
        """Show what the container still had to say, and make our terminal as it was."""
        try:
            while self._to_us_now():
                pass
        finally:
            if self._cooked is not None:
                import termios

                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._cooked)
            os.close(self.master)

    def _to_us_now(self) -> bool:
        try:
            data = os.read(self.master, PIECE)
        except OSError:
            return False
        _write_all(STDOUT, data)
        return bool(data)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BrokenPipeError:
            return
