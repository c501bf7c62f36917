"""Between our standard streams and a container's terminal: nothing waits for one of them alone.

Each direction holds at most one piece; while its target does not take that piece its source is not
read, so that whoever writes too fast waits as on any pipe, and everything else goes on: signals
above all. What goes wrong with one stream is that stream's: the other direction does not notice.
"""

from __future__ import annotations

import errno
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_STREAM, socket
from _struct import unpack
from fcntl import ioctl
from select import POLLIN, POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 65536
# A blocking descriptor that polls as writable takes so much without waiting (pipe(7), PIPE_BUF).
SAFE_PIECE = 4096
# More than the kernel holds of a terminal's output. What a process that stays behind goes on
# writing is not waited for.
MOST_LEFT = 1 << 20
S_IFMT, S_IFIFO, S_IFSOCK = 0o170000, 0o010000, 0o140000


class Output:
    """Our standard output, written to without waiting and without making it non-blocking: others
    have the same open file, and do not expect that.

    ``lost`` counts the bytes that it did not take for the reason in ``problem``.
    """

    __slots__ = ("_own", "_socket", "deaf", "fd", "lost", "piece", "problem")

    def __init__(self) -> None:
        self.fd = STDOUT
        self.piece = PIECE
        self.lost = 0
        self.problem: OSError | None = None
        self.deaf = False
        self._own = False
        self._socket: socket | None = None
        try:
            self._prepare()
        except OSError:
            pass  # closed: the first write tells

    def _prepare(self) -> None:
        kind = os.fstat(STDOUT).st_mode & S_IFMT
        if kind == S_IFSOCK:
            self._socket = socket(AF_UNIX, SOCK_STREAM, 0, os.dup(STDOUT))
        elif (kind == S_IFIFO or os.isatty(STDOUT)) and os.get_blocking(STDOUT):
            self.piece = SAFE_PIECE
            # An open file of our own. Where the caller may not open it by name (another user's
            # pipe, no /proc) small pieces do.
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self.fd = os.open(f"/proc/self/fd/{STDOUT}", flags)
            self._own = True
            self.piece = PIECE

    def write(self, data: bytes) -> int:
        """How many bytes were taken; raises ``BlockingIOError`` for none, now. What it will never
        take counts as taken.
        """
        if self.deaf:
            return len(data)
        try:
            if self._socket is not None:
                return self._socket.send(data, MSG_DONTWAIT)
            return os.write(self.fd, data[: self.piece])
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever closed it does not want the rest
                self.deaf = True
            else:
                self.problem = self.problem or error
                self.lost += len(data)
            return len(data)

    def close(self) -> None:
        """Close what is ours alone."""
        if self._socket is not None:
            self._socket.close()
        if self._own:
            os.close(self.fd)


class Relay:
    """Copies between our terminal (or pipes) and the container's terminal, whose ``master`` becomes
    the relay's.

    The relay keeps the terminal open from the other end, too: a program that closes it and opens it
    again (init systems, getty) would else hang it up, which is the end of it for us and an error
    for the program (tty_ioctl(4), TIOCGPTPEER).
    """

    __slots__ = (
        "_cooked",
        "_from_them",
        "_from_us",
        "_input_ended",
        "_output",
        "_peer",
        "_watched",
        "master",
    )

    def __init__(self, master: int) -> None:
        self.master = master
        self._cooked: list[Any] | None = None
        self._from_us = b""
        self._from_them = b""
        self._input_ended = False
        self._watched: dict[int, int] = {}
        self._output = Output()
        os.set_blocking(master, False)
        self._peer = ioctl(master, c.TIOCGPTPEER, c.O_RDWR | c.O_NOCTTY | c.O_CLOEXEC)
        self.resize()
        if os.isatty(STDIN):
            import termios
            import tty

            self._cooked = termios.tcgetattr(STDIN)
            tty.setraw(STDIN)
            # Carriage returns are made here: the container's terminal adds none (OpenTerminal).
            settings = termios.tcgetattr(STDIN)
            settings[1] |= termios.OPOST
            termios.tcsetattr(STDIN, termios.TCSANOW, settings)

    @property
    def lost(self) -> str | None:
        """What is to be said of output that found no place."""
        problem = self._output.problem
        if problem is None:
            return None
        return (
            f"standard output: {problem.strerror}; {self._output.lost} bytes of what the process "
            "wrote on its terminal are lost"
        )

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

    def watch(self, poller: poll) -> None:
        """Let ``poller`` wait for what the relay can go on with."""
        wanted: dict[int, int] = {}
        if self._from_us:
            wanted[self.master] = POLLOUT
        elif not self._input_ended:
            wanted[STDIN] = POLLIN
        if self._from_them:
            wanted[self._output.fd] = POLLOUT
        else:
            wanted[self.master] = wanted.get(self.master, 0) | POLLIN
        if wanted == self._watched:
            return
        for fd in self._watched.keys() - wanted.keys():
            poller.unregister(fd)
        for fd, events in wanted.items():
            poller.register(fd, events)
        self._watched = wanted

    def serve(self, poller: poll, fd: int, event: int) -> None:
        """Move what is ready on ``fd``."""
        if fd == STDIN and not self._from_us:
            self._read_ours()
        if fd == self.master and not self._from_them and event & ~POLLOUT:
            self._read_theirs()
        self._push()
        self.watch(poller)

    def _read_ours(self) -> None:
        try:
            self._from_us = os.read(STDIN, PIECE)
        except BlockingIOError:
            return
        except OSError:  # closed, not open for reading, a directory: there is no input
            self._from_us = b""
        self._input_ended = not self._from_us

    def _read_theirs(self) -> bool:
        """Whether there was something."""
        try:
            self._from_them = os.read(self.master, PIECE)
        except BlockingIOError:
            return False
        return bool(self._from_them)

    def _push(self) -> None:
        """Hand on what is taken now."""
        try:
            while self._from_them:
                self._from_them = self._from_them[self._output.write(self._from_them) :]
        except BlockingIOError:
            pass
        try:
            while self._from_us:
                self._from_us = self._from_us[os.write(self.master, self._from_us) :]
        except BlockingIOError:
            pass

    def finish(self, interrupted: int) -> bool:
        """Show what the container still had to say; whether it was all shown. ``interrupted`` is a
        descriptor that becomes readable when it is not to be waited for any more.
        """
        self._from_us = b""
        left = MOST_LEFT
        while left > 0 and (self._from_them or self._read_theirs()):
            left -= len(self._from_them)
            self._push()
            if self._from_them:
                left += len(self._from_them)
                waiting = poll()
                waiting.register(self._output.fd, POLLOUT)
                waiting.register(interrupted, POLLIN)
                if any(fd == interrupted for fd, _ in waiting.poll()):
                    return False
        return True

    def close(self) -> None:
        """Make our terminal as it was, and let go of the container's."""
        if self._cooked is not None:
            import termios

            termios.tcsetattr(STDIN, termios.TCSADRAIN, self._cooked)
        self._output.close()
        os.close(self._peer)
        os.close(self.master)
