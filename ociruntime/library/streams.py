"""The three standard streams of a process, as ``subprocess`` programs know them."""

from __future__ import annotations

import os
from subprocess import DEVNULL, PIPE, STDOUT
from typing import IO, BinaryIO, Protocol

from ociruntime.errors import OciError, UsageError


class HasFileno(Protocol):
    """A file, a socket, ..."""

    def fileno(self) -> int:
        """The descriptor."""


Stream = int | HasFileno | None
"""A descriptor, something that has one, PIPE, DEVNULL or (stderr only) STDOUT; None is DEVNULL."""


class ProcessStreams:
    """What is sent along as the process's streams, and our ends of its pipes.

    ``fds`` are for the request; ``close_theirs`` closes those of them that are ours once it was
    sent.
    """

    def __init__(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        self.fds: dict[str, int] = {}
        self.stdin: BinaryIO | None = None
        self.stdout: BinaryIO | None = None
        self.stderr: BinaryIO | None = None
        self._theirs: list[int] = []
        try:
            self._open(stdin, stdout, stderr)
        except OSError as error:
            self.close()
            raise OciError(f"no pipe for the process's streams: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def _open(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        if stdin == PIPE:
            read, write = os.pipe2(os.O_CLOEXEC)
            self._give("stdin", read)
            self.stdin = os.fdopen(write, "wb")
        else:
            self._pass("stdin", stdin)
        if stdout == PIPE:
            self.stdout = self._output("stdout")
        else:
            self._pass("stdout", stdout)
        if stderr == PIPE:
            self.stderr = self._output("stderr")
        elif stderr == STDOUT:
            if "stdout" in self.fds:
                self.fds["stderr"] = self.fds["stdout"]
        else:
            self._pass("stderr", stderr)

    def close_theirs(self) -> None:
        """Close the process's ends of the pipes, so that ours see its end."""
        while self._theirs:
            os.close(self._theirs.pop())

    def close(self) -> None:
        """Close both ends of everything."""
        self.close_theirs()
        close_files(self.stdin, self.stdout, self.stderr)

    def _output(self, name: str) -> BinaryIO:
        read, write = os.pipe2(os.O_CLOEXEC)
        self._give(name, write)
        return os.fdopen(read, "rb")

    def _give(self, name: str, fd: int) -> None:
        self.fds[name] = fd
        self._theirs.append(fd)

    def _pass(self, name: str, stream: Stream) -> None:
        if stream is None or stream == DEVNULL:
            return
        try:
            fd = stream if isinstance(stream, int) else stream.fileno()
        except (OSError, AttributeError):
            fd = -1  # io.StringIO and the like have none
        if fd < 0:
            raise UsageError(f"{name}={stream!r}: give a descriptor, a file, PIPE or DEVNULL")
        self.fds[name] = fd


def close_files(*files: IO[bytes] | None) -> None:
    """Close the files that are there; what cannot be flushed to a dead process is lost."""
    for file in files:
        if file is not None:
            try:
                file.close()
            except BrokenPipeError:
                continue
