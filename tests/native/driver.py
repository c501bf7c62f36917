"""Runs oci-init directly, as the runtime's init would: block, channel and argv by hand."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from ociruntime.kernel import _sys, block
from tests.support.patience import PATIENCE

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build"
OCI_INIT = BUILD / "oci-init"
OCI_EXEC = BUILD / "oci-exec"
BUSYBOX = b"/bin/busybox"

BLOCK_FD, CHANNEL_FD, PROC_FD = 60, 61, 62


def status_field(text: str, name: str) -> str:
    """The value of one line of /proc/PID/status."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise KeyError(name)


def last_cap() -> int:
    """The kernel's highest capability."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def own_capabilities() -> dict[str, int]:
    """This process's five sets, as keyword arguments of pack_block."""
    text = Path("/proc/self/status").read_text()
    names = {
        "bounding": "CapBnd",
        "effective": "CapEff",
        "permitted": "CapPrm",
        "inheritable": "CapInh",
        "ambient": "CapAmb",
    }
    return {key: int(status_field(text, name), 16) for key, name in names.items()}


# Above every number that a test gives a meaning.
HIGH = 400


class Init:
    """One oci-init, started by the constructor; a context manager that leaves no process.

    `args` is the process's argv (its path is /bin/busybox unless `candidates` says otherwise);
    `options` override what pack_block gets: by default this process's own identity. `fds` maps
    numbers in oci-init to descriptors of ours. `before` runs in the child just before execve.
    `flags` are clone's. With `wait` the listening socket lies in `directory`.
    """

    def __init__(
        self,
        *args: bytes,
        candidates: Sequence[bytes] = (BUSYBOX,),
        env: dict[bytes, bytes] | None = None,
        fds: dict[int, int] | None = None,
        data: bytes | None = None,
        before: Any = None,
        directory: Path | None = None,
        executable: bytes | Path = OCI_INIT,
        flags: int = 0,
        **options: Any,
    ) -> None:
        values: dict[str, Any] = {
            "channel_fd": CHANNEL_FD,
            "cwd": b"/",
            "candidates": len(candidates),
            "uid": os.getuid(),
            "gid": os.getgid(),
            "umask": 0o022,
            "groups": None,
            "last_cap": last_cap(),
            **own_capabilities(),
            **options,
        }
        self.wait = bool(options.get("wait"))
        self.block = block.pack_block(**values) if data is None else data
        self.output = b""
        self.status: int | None = None
        self._directory = directory
        self._read, write = os.pipe()
        self._listener: socket.socket | None = None
        if self.wait:
            assert directory is not None
            self.path = str(directory / "start.sock")
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._listener.bind(self.path)
            self._listener.listen(4)
            theirs, self.channel = self._listener, None
        else:
            theirs, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memfd = os.memfd_create("block")
        os.write(memfd, self.block)
        argv = block.init_argv(BLOCK_FD, candidates, args)
        wanted = {1: write, CHANNEL_FD: theirs.fileno(), BLOCK_FD: memfd, **(fds or {})}
        self.pid, self._pidfd = _sys.clone(flags)
        if self.pid == 0:
            try:
                # Out of the way first: a source may have the number of another's target.
                high = {
                    number: fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for number, fd in wanted.items()
                }
                for number, fd in high.items():
                    os.dup2(fd, number)
                if before is not None:
                    before()
                os.execve(executable, argv, env or {b"PATH": b"/bin"})
            finally:
                os._exit(99)
        os.close(write)
        os.close(memfd)
        theirs.close()

    def connect(self) -> socket.socket:
        """A connection to the waiting oci-init."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(PATIENCE)
        connection.connect(self.path)
        return connection

    def start(self) -> Init:
        """Say `start` and keep the connection as the channel."""
        self.channel = self.connect()
        self.channel.send(block.START)
        return self

    def report(self) -> block.Report | None:
        """What oci-init reports; None when the channel closed, which is success."""
        assert self.channel is not None
        self.channel.settimeout(PATIENCE)
        message = self.channel.recv(64)
        return block.unpack_report(message) if message else None

    def finish(self) -> Init:
        """Read all output and reap; `output`, `status` (exit code, negative for a signal)."""
        while piece := os.read(self._read, 65536):
            self.output += piece
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        return self

    @property
    def text(self) -> str:
        """The output, decoded."""
        return self.output.decode()

    def until_waiting(self) -> Init:
        """Return when oci-init sleeps in its poll."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            comm = Path(f"/proc/{self.pid}/comm").read_text().strip()
            state = status_field(Path(f"/proc/{self.pid}/status").read_text(), "State")
            if comm == "oci-init" and state.startswith("S"):
                return self
            time.sleep(0.002)
        raise TimeoutError("oci-init does not wait")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._read)
        os.close(self._pidfd)
        if self.channel is not None:
            self.channel.close()


def shell(script: str, **options: Any) -> Init:
    """`sh -c script` through oci-init."""
    return Init(b"sh", b"-c", script.encode(), **options)
