"""oci-exec driven directly: what it reports and refuses, and what it does when nobody speaks.

What it does in a container is in tests/kernel/test_exec*.py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
import struct
import time
from pathlib import Path
from typing import Any, Self

import pytest

from ociruntime.kernel import _sys, block
from ociruntime.kernel.execblock import JOINED, RELAYED, ExecBlock
from tests.native.driver import (
    BLOCK_FD,
    BUSYBOX,
    CHANNEL_FD,
    HIGH,
    OCI_EXEC,
    Init,
    last_cap,
    own_capabilities,
    status_field,
)
from tests.support.patience import PATIENCE

CLONE_NEWUTS = 0x4000000
EXEC_AT = block.HEADER.size
FIRST_FREE = 70


VALUES: dict[str, Any] = {
    "channel_fd": CHANNEL_FD, "cwd": b"/", "candidates": 1, "uid": os.getuid(),
    "gid": os.getgid(), "umask": 0o22, "groups": None, "last_cap": last_cap(),
    **own_capabilities(),
}  # fmt: skip


def pack(for_exec: ExecBlock | None = None) -> bytes:
    """A block for a process like ours, which joins nothing."""
    return block.pack_block(**VALUES, for_exec=for_exec or ExecBlock(b"_ses.test"))


class Exec:
    """oci-exec, run to its end by the constructor: its exit `status`, and what it said `first`."""

    def __init__(
        self, data: bytes, *args: bytes, path: bytes = BUSYBOX, fds: dict[int, int] | None = None
    ) -> None:
        self._read, write = os.pipe()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE)
        memfd = os.memfd_create("block")
        os.write(memfd, data)
        argv = block.init_argv(BLOCK_FD, [path], args)
        wanted = {1: write, CHANNEL_FD: theirs.fileno(), BLOCK_FD: memfd, **(fds or {})}
        pid, pidfd = _sys.clone(0)
        if pid == 0:
            try:
                # Out of the way first: a source may have the number of another's target.
                high = {
                    number: fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for number, fd in wanted.items()
                }
                for number, fd in high.items():
                    os.dup2(fd, number)
                os.execve(OCI_EXEC, argv, {b"PATH": b"/bin"})
            finally:
                os._exit(99)
        for fd in (write, memfd, pidfd):
            os.close(fd)
        theirs.close()
        self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.channel.setblocking(False)
        self.reports: list[block.Report] = []
        try:
            while message := self.channel.recv(64):
                self.reports.append(block.unpack_report(message))
        except BlockingIOError:
            pass
        self.channel.settimeout(PATIENCE)
        self.first = self.reports[0] if self.reports else None
        # Our child, made by it (CLONE_PARENT).
        self.pid = 0
        for report in self.reports:
            if report.stage == block.STAGE_MADE:
                self.pid = report.detail
        self.reports = [report for report in self.reports if report.stage != block.STAGE_MADE]
        self.entered = False

    def go(self) -> block.Report | None:
        """Let the process go on; its report, None for success."""
        try:
            self.channel.send(block.START)
        except BrokenPipeError:
            pass  # it has said why
        while report := self.reports.pop(0) if self.reports else self._report():
            if report.stage != block.STAGE_ENTERED:
                return report
            self.entered = True
        return None

    def _report(self) -> block.Report | None:
        try:
            message = self.channel.recv(64)
        except ConnectionResetError:
            # It ended without reading our word; what it said before is still there.
            message = self.channel.recv(64)
        return block.unpack_report(message) if message else None

    def end(self) -> tuple[int, bytes]:
        """(exit status, output) of the process."""
        output = b""
        while piece := os.read(self._read, 65536):
            output += piece
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return status, output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._read)
        self.channel.close()


@pytest.mark.kernel
def test_from_the_pid_to_the_program() -> None:
    with Exec(pack(), b"echo", b"hello world") as one:
        assert one.status == 0
        assert one.pid > 0
        assert status_field(Path(f"/proc/{one.pid}/status").read_text(), "PPid") == str(os.getpid())
        assert one.go() is None
        assert one.entered
        assert one.end() == (0, b"hello world\n")


@pytest.mark.kernel
def test_nothing_happens_before_the_word() -> None:
    """It waits with nothing open but its streams, the channel and the root: a container with
    CAP_SYS_PTRACE could take the rest (CVE-2016-9962).
    """
    for_exec = ExecBlock(b"_ses.test")
    for_exec.joins, for_exec.root = [FIRST_FREE, FIRST_FREE + 1], FIRST_FREE + 2
    good, root = memfd(), os.open("/", os.O_PATH)
    numbers = (*range(FIRST_FREE, FIRST_FREE + 3), 90)
    fds = dict(zip(numbers, (good, good, root, good), strict=True))
    with Exec(pack(for_exec), b"echo", b"x", fds=fds) as one:
        os.close(good)
        os.close(root)
        deadline = time.monotonic() + PATIENCE
        kept = {"0", "1", "2", str(CHANNEL_FD), str(FIRST_FREE + 2)}
        while set(os.listdir(f"/proc/{one.pid}/fd")) != kept and time.monotonic() < deadline:
            time.sleep(0.002)
        assert set(os.listdir(f"/proc/{one.pid}/fd")) == kept
        time.sleep(0.05)
        status = Path(f"/proc/{one.pid}/status").read_text()
        assert status_field(status, "State").startswith("S")
        assert Path(f"/proc/{one.pid}/comm").read_text() == "oci-init\n"
        assert int(status_field(status, "VmRSS").split()[0]) < 200
        one.channel.close()
        assert one.end() == (1, b"")


@pytest.mark.kernel
@pytest.mark.parametrize("word", [b"T", b"s", b"\0", b"XS"])
def test_another_word_ends_it(word: bytes) -> None:
    with Exec(pack(), b"echo", b"x") as one:
        one.channel.send(word)
        assert one.end() == (1, b"")


def memfd() -> int:
    return os.memfd_create("x")


@pytest.mark.kernel
@pytest.mark.parametrize("kind", ["join", "clone"])
def test_failures_before_there_is_a_process(kind: str) -> None:
    for_exec = ExecBlock(b"_ses.test")
    if kind == "join":
        for_exec.container, for_exec.namespaces = FIRST_FREE, CLONE_NEWUTS
        expected = (block.STAGE_JOIN, errno.EINVAL)
    else:
        for_exec.cgroup = FIRST_FREE
        expected = (block.STAGE_CLONE, errno.EBADF)
    fd = memfd()
    try:
        with Exec(pack(for_exec), b"echo", b"x", fds={FIRST_FREE: fd}) as one:
            assert one.status == 1
            assert one.first is not None
            assert (one.first.stage, one.first.errno) == expected
            assert one.pid == 0
    finally:
        os.close(fd)


@pytest.mark.kernel
def test_each_cgroup_is_joined_and_the_guilty_one_named() -> None:
    for_exec = ExecBlock(b"_ses.test")
    for_exec.joins = [FIRST_FREE, FIRST_FREE + 1, FIRST_FREE + 2]
    good, bad = memfd(), os.open(os.devnull, os.O_RDONLY)
    try:
        fds = {FIRST_FREE: good, FIRST_FREE + 1: good, FIRST_FREE + 2: bad}
        with Exec(pack(for_exec), b"echo", b"x", fds=fds) as one:
            report = one.go()
            assert report is not None
            assert (report.stage, report.errno, report.detail) == (
                block.STAGE_CGROUP, errno.EBADF, 2,
            )  # fmt: skip
            assert os.pread(good, 100, 0) == b"00"
            assert one.end() == (1, b"")
    finally:
        os.close(good)
        os.close(bad)


@pytest.mark.kernel
def test_no_descriptor_is_left_for_the_program(tmp_path: Path) -> None:
    for_exec = ExecBlock(b"_ses.test")
    for_exec.joins = [FIRST_FREE]
    for_exec.root = FIRST_FREE + 1
    made = tmp_path / "root"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "busybox").write_bytes(Path(BUSYBOX.decode()).read_bytes())
    (made / "bin" / "busybox").chmod(0o755)
    good, root = memfd(), os.open(made, os.O_PATH)
    try:
        fds = {FIRST_FREE: good, FIRST_FREE + 1: root, 90: good}
        with Exec(pack(for_exec), b"sh", b"-c", b"cd /; echo *; echo x >&90", fds=fds) as one:
            assert one.go() is None
            status, output = one.end()
            assert output == b"bin\n"
            assert status != 0  # nothing is open as 90
    finally:
        os.close(good)
        os.close(root)


@pytest.mark.kernel
def test_it_tells_when_it_is_in_its_cgroups() -> None:
    for_exec = ExecBlock(b"_ses.test")
    for_exec.flags = JOINED
    with Exec(pack(for_exec), b"true") as one:
        said = one.reports.pop(0) if one.reports else one._report()
        assert said is not None
        assert (said.stage, said.errno) == (block.STAGE_JOINED, 0)
        assert one.go() is None
        assert one.end() == (0, b"")


@pytest.mark.kernel
def test_what_the_process_inherits_and_sets() -> None:
    """CPUs, execution domain and memory policy, and what the kernel says of wrong ones."""
    for_exec = ExecBlock(b"_ses.test")
    cpu = min(os.sched_getaffinity(0))
    for_exec.cpus = (1 << cpu).to_bytes(128, "little")
    for_exec.persona = 8  # PER_LINUX32
    script = b"grep Cpus_allowed_list /proc/self/status; cat /proc/self/personality"
    with Exec(pack(for_exec), b"sh", b"-c", script) as one:
        assert one.go() is None
        assert one.end() == (0, f"Cpus_allowed_list:\t{cpu}\n00000008\n".encode())
    for_exec.cpus = bytes(64) + b"\x80" + bytes(63)
    with Exec(pack(for_exec), b"true") as one:
        assert one.first is not None
        assert (one.first.stage, one.first.errno) == (block.STAGE_CPUS, errno.EINVAL)
    for_exec.cpus, for_exec.memory = b"", (0x7FFF, bytes(8))
    with Exec(pack(for_exec), b"true") as one:
        report = one.go()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_MEMORY, errno.EINVAL)
        assert one.end() == (1, b"")


@pytest.mark.kernel
def test_a_terminal() -> None:
    """Of the devpts that is at /dev/pts; the size is there before the program is."""
    for_exec = ExecBlock(b"_ses.test")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for_exec.console, for_exec.size, for_exec.flags = FIRST_FREE, (11, 222), RELAYED
    script = b"stty size; stty -a | grep -o .onlcr; test -t 2; echo $?; exec 0<&- 1>&- 2>&-"
    with ours, theirs, Exec(pack(for_exec), b"sh", b"-c", script,
                            fds={FIRST_FREE: theirs.fileno()}) as one:  # fmt: skip
        theirs.close()
        assert one.go() is None
        text, (master,), _, _ = socket.recv_fds(ours, 64, 4)
        assert text == b"/dev/pts/ptmx"
        output = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while piece := os.read(master, 100):
                output += piece
        assert output == b"11 222\n-onlcr\n0\n"
        # Before the terminal hangs up, which is a signal to the process that leads its session.
        assert one.end() == (0, b"")
        os.close(master)


@pytest.mark.kernel
def test_a_terminal_that_nobody_takes() -> None:
    for_exec = ExecBlock(b"_ses.test")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.close()
    for_exec.console = FIRST_FREE
    with theirs, Exec(pack(for_exec), b"true", fds={FIRST_FREE: theirs.fileno()}) as one:
        report = one.go()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_CONSOLE, errno.EPIPE)
        assert one.end() == (1, b"")


# --- blocks that nobody should send -----------------------------------------------------------


def damage(offset: int, value: int, data: bytes | None = None) -> bytes:
    changed = bytearray(pack() if data is None else data)
    struct.pack_into("=I", changed, offset, value & 0xFFFFFFFF)
    return bytes(changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        damage(12, 0),  # BLOCK_EXEC is not set
        damage(12, block.EXEC | block.WAIT),
        damage(16, -1),
        damage(20, 62),
        damage(EXEC_AT + 28, 0),
        damage(EXEC_AT + 28, EXEC_AT),
        damage(EXEC_AT + 28, 1 << 20),
        damage(EXEC_AT + 32, 1000),
        damage(EXEC_AT + 32, 1 << 30),
        damage(EXEC_AT + 32, -1),
        damage(EXEC_AT + 36, 4),
        damage(EXEC_AT + 36, EXEC_AT + 89),
        damage(EXEC_AT + 36, -4),
        damage(EXEC_AT + 40, 129),
        damage(EXEC_AT + 40, 1 << 29),
        damage(EXEC_AT + 44, 8),
        damage(EXEC_AT + 44, EXEC_AT + 92),
        damage(EXEC_AT + 48, 1000),
        damage(EXEC_AT + 52, -8),
    ],
)
def test_damaged_block(data: bytes) -> None:
    with Exec(data, b"echo", b"x") as one:
        assert (one.status, one.first) == (block.EXIT_BLOCK, None)


def test_each_program_has_blocks_of_its_own() -> None:
    plain = {name: value for name, value in VALUES.items() if name != "for_exec"}
    with Exec(block.pack_block(**plain), b"echo", b"x") as one:
        assert one.status == block.EXIT_BLOCK
    with Init(b"echo", b"x", data=pack()) as init:
        assert init.finish().status == block.EXIT_BLOCK


@pytest.mark.kernel
def test_any_number_in_the_entry_is_survived() -> None:
    """It fails in words or by its exit status, never by a fault of its own."""
    numbers = random.Random(3)
    for _ in range(150):
        offset = EXEC_AT + 4 * numbers.randrange(22)
        value = numbers.choice([0, 1, 5, 1 << 31, -1, -2, numbers.randrange(1 << 32), 300, 180])
        with Exec(damage(offset, value), b"true") as one:
            assert one.status in (0, 1, block.EXIT_BLOCK)
            if one.pid:
                try:
                    one.channel.send(block.START)
                except BrokenPipeError:
                    pass
                status, _ = one.end()
                assert status in (0, 1)
