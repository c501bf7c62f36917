"""Standard streams of a container's process: where containerd wants them, and what copies them.

A stream is a path of a fifo, `file://PATH` (appended to), `binary://PATH?ARGUMENTS` (a logging
process, logger.py), or nothing (/dev/null). The process itself gets pipes, or a terminal.

- A fifo for output is held open for reading, too: a reader that went away (containerd restarts)
  gives no EPIPE, the next one goes on where it stopped.
- A fifo for input is held open for writing until CloseIO: that is its end for the container.
- Pipes go to the container, never containerd's own files: what it does to them ends at the pipe.
"""

from __future__ import annotations

import errno
from _struct import pack, unpack
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl

from ociruntime import hostos as os
from ociruntime.kernel.constants import (
    FIONREAD,
    O_CLOEXEC,
    O_NOCTTY,
    O_RDWR,
    TIOCGPTPEER,
    TIOCSWINSZ,
)
from ociruntime.resident.loop import Future
from ociruntime.shim import ttrpc
from ociruntime.shim.copy import Pump, Splice
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.resident.loop import Loop
    from ociruntime.shim.copier import Copier, Handed
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.logger import Logger

    Copy = Splice | Pump | Handed

# How long containerd's client may take to open its end of a fifo, and how often we look (seconds).
READER_SECONDS = 30.0
READER_INTERVAL = 0.005
FILE_MODE = 0o644
# Names of descriptors at the keeper.
STREAMS = "streams/"
STDIN, TERMINAL, PEER, LOGGER, INPUT = "stdin", "terminal", "peer", "logger", "input."
EARLY = "early"
S_IFMT, S_IFIFO = 0o170000, 0o010000


class Wanted:
    """Where the streams of a process go: ``stdin``, ``stdout``, ``stderr`` as containerd names
    them, ``terminal`` instead of pipes, ``owner`` (uid, gid) of the pipes.
    """

    __slots__ = ("owner", "stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str, stdout: str, stderr: str, *, terminal: bool) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal
        self.owner = (0, 0)


class Streams:
    """The open streams of one process; ``inside`` are the container's ends, for a worker. ``warn``
    is told what its user should know. Pipes of the container are touched by the ``copier``, where
    there is one.
    """

    __slots__ = (
        "_copier",
        "_hold",
        "_input",
        "_journal",
        "_kept",
        "_loop",
        "_outputs",
        "_peer",
        "_stdin",
        "_terminal",
        "_warn",
        "inside",
        "logger",
        "number",
    )

    def __init__(
        self,
        loop: Loop,
        warn: Callable[[str], None],
        journal: NoJournal,
        number: int = 0,
        copier: Copier | None = None,
    ) -> None:
        """``number`` is that of streams which were a predecessor's: ``take_over`` comes next."""
        self._loop = loop
        self._warn = warn
        self._journal = journal
        self._copier = copier
        self.number = number or journal.number()
        self._outputs: list[Copy] = []
        self._input: Copy | None = None
        self._hold: list[int] = []  # of a terminal: input and output until there is one
        self._kept: list[int] = []  # reading ends of output fifos
        self._stdin = -1  # our writing end of the input fifo
        self._terminal = -1
        self._peer = -1  # the terminal's other end
        self.inside: list[int] = []
        self.logger: Logger | None = None

    # before the process exists

    async def open(self, wanted: Wanted, environment: dict[str, str]) -> None:
        """Open all that ``wanted`` names; ``environment`` is a logging process's.

        Raises ``RpcError`` or ``OSError``; to be closed then.
        """
        if wanted.terminal:
            # Until the terminal is there: what is copied to it, what is copied from it.
            self._hold = [self._open_input(wanted.stdin), -1]
            self._hold[1] = await self._open_output(wanted.stdout)
            return
        if wanted.stdout.startswith("binary://") or wanted.stderr.startswith("binary://"):
            await self._open_logger(wanted, environment)
        else:
            await self._open_pipes(wanted)
        if wanted.owner != (0, 0):
            for fd in self.inside:
                if fd >= 0 and os.fstat(fd).st_mode & S_IFMT == S_IFIFO:
                    os.fchown(fd, *wanted.owner)
        self._keep()

    async def _open_pipes(self, wanted: Wanted) -> None:
        source = self._open_input(wanted.stdin)
        if source >= 0:
            self.inside.append(self._pipe_in(source))
        else:
            self.inside.append(_null())
        for path in (wanted.stdout, wanted.stderr):
            target = await self._open_output(path)
            if target < 0:
                self.inside.append(_null())
                continue
            self.inside.append(self._pipe_out(target, path))

    async def _open_logger(self, wanted: Wanted, environment: dict[str, str]) -> None:
        from ociruntime.shim.logger import Logger

        source = self._open_input(wanted.stdin)
        self.inside.append(self._pipe_in(source) if source >= 0 else _null())
        self.logger = Logger(wanted.stdout or wanted.stderr, environment)
        self.inside += self.logger.start()
        await self.logger.ready(self._loop)

    def _pipe_in(self, source: int) -> int:
        readable, writable = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writable, False)
        if _is_fifo(source):
            self._input = self._splice(source, writable)
        else:
            self._input = Pump(self._loop, source, writable)
        return readable

    def _pipe_out(self, target: int, name: str) -> int:
        readable, writable = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(readable, False)
        if _is_fifo(target):
            self._outputs.append(self._splice(readable, target))
        else:
            text = f"{name}: no space left; what finds none is dropped: make room"
            self._outputs.append(self._pump(readable, target, lambda: self._warn(text)))
        return writable

    def _splice(self, source: int, target: int) -> Copy:
        if self._copier is not None:
            return self._copier.copy(Splice.kind, source, target)
        return Splice(self._loop, source, target)

    def _pump(self, source: int, target: int, full: Callable[[], None] | None) -> Copy:
        """Of a container's output to a file."""
        if self._copier is not None:
            return self._copier.copy(Pump.kind, source, target, full)
        return Pump(self._loop, source, target, full)

    def _open_input(self, path: str) -> int:
        """The input fifo, not blocking; -1 for none."""
        if not path:
            return -1
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if _is_fifo(source):
            self._stdin = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return source

    async def _open_output(self, path: str) -> int:
        """A descriptor to write to, not blocking; -1 for none."""
        if not path:
            return -1
        append = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        if path.startswith("file://"):
            name = path.removeprefix("file://")
            os.makedirs(os.path.dirname(name), 0o755)
            return os.open(name, append | os.O_CREAT, FILE_MODE)
        if "://" in path:
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"{path}: use a fifo, file:// or binary://")
        if os.stat(path).st_mode & S_IFMT != S_IFIFO:
            return os.open(path, append)
        # Not our own reading end first: output that nobody has come for yet would be lost with it.
        waited = 0.0
        while True:
            try:
                target = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                break
            except OSError as error:
                if error.errno != errno.ENXIO or waited > READER_SECONDS:
                    raise
            await self._loop.sleep(READER_INTERVAL)
            waited += READER_INTERVAL
        # Before anything is waited for: if we die now, its reader must not see the end of it.
        self._journal.keep({f"{self._name()}{EARLY}{target}": target})
        self._kept.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return target

    def close_inside(self) -> None:
        """The container has its own copies now; ours would hide the end of its output."""
        for fd in self.inside:
            os.close(fd)
        self.inside.clear()

    # while it runs

    def attach(self, master: int) -> None:
        """Copy between the terminal's ``master``, taken over, and the fifos.

        A program that closes its terminal and opens it again (init systems, getty) would hang it
        up for us, so we keep its other end open, too, until the process has ended.
        """
        self._terminal = master
        self._peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)
        os.set_blocking(master, False)
        source, target = self._hold
        self._hold = []
        if target < 0:
            target = _null()  # or the terminal's buffer fills, and the container waits
        self._outputs.append(Pump(self._loop, _duplicate(master), target))
        if source >= 0:
            self._input = Pump(self._loop, source, _duplicate(master))
        self._keep()

    def resize(self, width: int, height: int) -> None:
        """Give the terminal a size (characters of 16 bits each)."""
        ioctl(self._terminal, TIOCSWINSZ, pack("=HHHH", height, width, 0, 0))

    def close_stdin(self) -> None:
        """CloseIO: the container's input ends as soon as the client has closed it, too."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
            self._journal.release(f"{self._name()}{STDIN}")

    # at the end

    def process_ended(self) -> None:
        """From now on a terminal that nobody has open is at its end."""
        if self._peer >= 0:
            os.close(self._peer)
            self._peer = -1
            self._journal.release(f"{self._name()}{PEER}")

    def drained(self) -> Future:
        """Done when all output was handed on: no process has it open any more."""
        done = Future()

        def look() -> None:
            if all(copy.done.done for copy in self._outputs):
                done.set()

        look()
        for copy in self._outputs:
            copy.done.when_done(look)
        return done

    def are_read(self) -> bool:
        """Whether all output was handed on, and whoever reads our fifos has taken it out.

        A fifo is only asked when its copy is over: before, whoever copies may have the kernel's
        lock of it and wait for that of a pipe of the container, and we would with him.
        """
        return self.drained().done and not any(map(_unread, self._kept))

    def close(self) -> None:
        """Close everything, whatever is not copied yet."""
        self.close_inside()
        self.close_stdin()
        self.process_ended()
        for copy in self._outputs:
            copy.close()
        if self._input is not None:
            self._input.close()
        for fd in (*self._hold, *self._kept, self._terminal):
            if fd >= 0:
                os.close(fd)
        self._hold, self._kept, self._terminal = [], [], -1
        if self.logger is not None:
            self._loop.spawn(self.logger.end(self._loop))
            self.logger = None
        self._journal.release(self._name())

    # a daemon's and its successor's

    def _name(self) -> str:
        """What the names of our descriptors begin with at the keeper."""
        return f"{STREAMS}{self.number}/"

    def _copies(self) -> list[tuple[str, Copy]]:
        copies = [(f"output{index}.", copy) for index, copy in enumerate(self._outputs)]
        return copies + ([(INPUT, self._input)] if self._input is not None else [])

    def _keep(self) -> None:
        """Let the keeper have all that must not close with this daemon, each as long as we do: a
        reader sees the end when nobody has the other one.
        """
        if not self._journal.lasting:
            return
        name = self._name()
        single = {STDIN: self._stdin, TERMINAL: self._terminal, PEER: self._peer}
        single.update({f"kept{index}": fd for index, fd in enumerate(self._kept)})
        if self.logger is not None:
            single[LOGGER] = self.logger.pidfd
        for part, copy in self._copies():
            single.update({f"{part}{end}": fd for end, fd in copy.ends().items()})
        self._journal.keep({f"{name}{part}": fd for part, fd in single.items() if fd >= 0})
        self._journal.release(f"{name}{EARLY}")
        for part, copy in self._copies():
            self._follow(part, copy)

    def _follow(self, part: str, copy: Copy) -> None:
        prefix = f"{self._name()}{part}"
        copy.done.when_done(lambda: self._journal.release(prefix))

    def take_over(self, parts: dict[str, int]) -> None:
        """Go on with what ``_keep`` has told the keeper; descriptors by the rest of their names."""
        self._stdin = parts.get(STDIN, -1)
        self._terminal = parts.get(TERMINAL, -1)
        self._peer = parts.get(PEER, -1)
        self._kept = [fd for part, fd in parts.items() if part.startswith("kept")]
        early = [fd for part, fd in parts.items() if part.startswith(EARLY)]
        if early:  # the predecessor had told of it a second time, and not said so
            for fd in early:
                os.close(fd)
            self._journal.release(f"{self._name()}{EARLY}")
        if LOGGER in parts:
            from ociruntime.shim.logger import Logger

            self.logger = Logger("", {})
            self.logger.pidfd = parts[LOGGER]
        for part in sorted(part for part in parts if part.endswith(".source")):
            whose, kind, _ = part.split(".")
            ends = parts[part], parts[f"{whose}.{kind}.target"]
            copy: Copy
            if kind == Splice.kind:
                copy = self._splice(*ends)
            elif self._terminal < 0 and whose.startswith("output"):
                copy = self._pump(*ends, None)
            else:
                copy = Pump(self._loop, *ends)
            if whose.startswith("output"):
                self._outputs.append(copy)
            else:
                self._input = copy
            # Its name at the keeper: one before it may have ended, and have no number any more.
            self._follow(f"{whose}.", copy)


def _null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


def _is_fifo(fd: int) -> bool:
    return os.fstat(fd).st_mode & S_IFMT == S_IFIFO


def _unread(fifo: int) -> int:
    """How many bytes are in there (FIONREAD of pipe(7))."""
    return int(unpack("=i", ioctl(fifo, FIONREAD, bytes(4)))[0])


def _duplicate(fd: int) -> int:
    return int(fcntl(fd, F_DUPFD_CLOEXEC, 3))
