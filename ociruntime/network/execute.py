"""Runs a program of the host to its end: input, output, a deadline, and nothing inherited.

The standard library's subprocess takes 8 ms to import.
"""

from __future__ import annotations

import errno
import time
from select import POLLIN, POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.signals import SPAWN_DEFAULTS

SIGKILL = 9
# Longest output that is kept (bytes) and time a program may take (seconds).
LONGEST = 1 << 22
SECONDS = 60.0


class Done:
    """What a program did: its exit ``status`` (negative: the signal), ``output``, ``errors``."""

    __slots__ = ("errors", "output", "status")

    def __init__(self, status: int, output: bytes, errors: bytes) -> None:
        self.status = status
        self.output = output
        self.errors = errors.decode("utf-8", "replace").strip()


def find_program(name: str, path: str) -> str | None:
    """The first executable file ``name`` in the directories of ``path``, None without one."""
    for directory in path.split(":"):
        found = os.path.join(directory, name)
        if directory and os.access(found, os.X_OK) and os.is_regular(os.stat(found).st_mode):
            return found
    return None


def execute(
    arguments: list[str],
    environment: dict[str, str],
    text: bytes = b"",
    seconds: float = SECONDS,
) -> Done:
    """Run ``arguments`` (the first is the program's path) with ``text`` on its standard input.

    Raises ``OSError`` when it cannot be run, ``OciError`` when it does not end in time: then it is
    killed.
    """
    deadline = time.monotonic() + seconds
    input_read, input_write = os.pipe2(os.O_CLOEXEC)
    output_read, output_write = os.pipe2(os.O_CLOEXEC)
    errors_read, errors_write = os.pipe2(os.O_CLOEXEC)
    theirs = (input_read, output_write, errors_write)
    ours = (input_write, output_read, errors_read)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(theirs)]
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            environment,
            file_actions=actions,
            setsigmask=[],
            setsigdef=SPAWN_DEFAULTS,
        )
    except OSError:
        _close(ours)
        raise
    finally:
        _close(theirs)
    output, errors, late = _converse(text, ours, deadline)
    if late:
        os.kill(pid, SIGKILL)
    _, status = os.waitpid(pid, 0)
    if late:
        raise OciError(f"{arguments[0]}: did not end within {seconds:g} s")
    return Done(os.waitstatus_to_exitcode(status), output, errors)


def _converse(
    text: bytes, ends: tuple[int, int, int], deadline: float
) -> tuple[bytes, bytes, bool]:
    """Write the input and read both outputs to their ends: (output, errors, time ran out)."""
    source, *sinks = ends
    os.set_blocking(source, False)
    poller = poll()
    for fd in sinks:
        poller.register(fd, POLLIN)
    poller.register(source, POLLOUT)
    read: dict[int, list[bytes]] = {fd: [] for fd in sinks}
    left = set(ends)
    try:
        while left.intersection(sinks):
            wait = (deadline - time.monotonic()) * 1000
            events = poller.poll(wait) if wait > 0 else []
            if not events:
                return b"", b"", True
            for fd, _ in events:
                if fd == source:
                    text = _feed(fd, text)
                    ended = not text
                else:
                    part = os.read(fd, 65536)
                    ended = not part
                    if sum(map(len, read[fd])) < LONGEST:
                        read[fd].append(part)
                if ended:
                    poller.unregister(fd)
                    left.discard(fd)
                    os.close(fd)
        return b"".join(read[sinks[0]]), b"".join(read[sinks[1]]), False
    finally:
        _close(tuple(left))


def _feed(fd: int, text: bytes) -> bytes:
    try:
        return text[os.write(fd, text) :]
    except BlockingIOError:
        return text
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        return b""


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
