"""oci-copy as the daemon uses it: bytes, ends, a writer that is stuck, and its own death."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Loop
from ociruntime.shim.copier import Copier, Handed
from ociruntime.shim.copy import Pump, Splice
from tests.support.patience import PATIENCE

USERFAULTFD = 323 if os.uname().machine == "x86_64" else 282
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04
WRITE = 1 if os.uname().machine == "x86_64" else 64
PAGE = mmap.PAGESIZE
MUCH = 1 << 20


class Desk:
    """A copier in a loop of its own."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.exits = Exits()
        self.exits.start(self.loop)
        self.warnings: list[str] = []
        self.copier = Copier(self.loop, self.exits, self.warnings.append)
        self.fds: list[int] = []

    def copy(
        self,
        kind: str = Splice.kind,
        target: int = -1,
        before: Callable[[int], None] = lambda _: None,
    ) -> tuple[Handed, int, int]:
        """A copy, what is written to, and what is read from (-1 when there is a target); ``before``
        gets the former before it is read from.
        """
        source, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(source, False)
        reader = -1
        if target < 0:
            reader, target = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(target, False)
            os.set_blocking(reader, False)
        self.fds += [writer, reader]
        before(writer)
        return self.copier.copy(kind, source, target), writer, reader

    def until(self, condition: Callable[[], object]) -> None:
        async def look() -> None:
            deadline = time.monotonic() + PATIENCE
            await self.loop.sleep(0)  # the loop runs from here on
            while not condition() and time.monotonic() < deadline:
                await self.loop.sleep(0.01)
                self.exits.reap()  # SIGCHLD may be told to another thread of pytest's
            passed.append(time.monotonic() < deadline)
            self.loop.stop()

        passed: list[bool] = []
        if not condition():
            self.loop.spawn(look())
            self.loop.run()
            assert passed[0]

    def arrives(self, reader: int, expected: bytes) -> None:
        got = bytearray()

        def read() -> bool:
            try:
                got.extend(os.read(reader, MUCH))
            except BlockingIOError:
                pass
            return len(got) >= len(expected)

        self.until(read)
        assert got == expected

    def close(self, fd: int) -> None:
        self.fds.remove(fd)
        os.close(fd)


@pytest.fixture
def desk() -> Iterator[Desk]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    made = Desk()
    yield made
    for copy in list(made.copier._copies.values()):
        copy.close()
    end = made.copier._end
    if end is not None:
        made.loop.forget(end.fileno())
        made.copier._end = None
        end.close()
        made.until(lambda: not processes())
    for fd in made.fds:
        if fd >= 0:
            os.close(fd)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def processes() -> list[int]:
    """Our children that copy, the first one first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text() == "ociruntime-copy\n":
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if fields[0] != "Z":
                        found.append((int(entry.name), int(fields[1])))
            except OSError:
                continue
    firsts = [pid for pid, parent in found if parent == os.getpid()]
    return firsts + [pid for pid, parent in found if parent in firsts]


def test_bytes_and_the_end(desk: Desk) -> None:
    copies = [desk.copy() for _ in range(20)]
    for number, (_, writer, _) in enumerate(copies):
        os.write(writer, b"%d" % number)
    for number, (_, _, reader) in enumerate(copies):
        desk.arrives(reader, b"%d" % number)
    for copy, writer, reader in copies:
        assert not copy.done.done
        os.write(writer, b"last")
        desk.close(writer)
        desk.arrives(reader, b"last")
    desk.until(lambda: all(copy.done.done for copy, _, _ in copies))
    assert all(os.read(reader, 1) == b"" for _, _, reader in copies)
    assert not desk.warnings


def test_a_reader_that_does_not_read_stops_its_writer_alone(desk: Desk) -> None:
    slow, slow_writer, slow_reader = desk.copy()
    _, writer, reader = desk.copy()
    os.set_blocking(slow_writer, False)
    sent = bytearray()

    def fill() -> bool:
        try:
            sent.extend(b"x" * os.write(slow_writer, b"x" * PAGE))
        except BlockingIOError:
            return len(sent) >= 2 * 65536  # both pipes are full
        return False

    desk.until(fill)
    os.write(writer, b"here")
    desk.arrives(reader, b"here")
    desk.arrives(slow_reader, bytes(sent))
    desk.close(slow_writer)
    desk.until(lambda: slow.done.done)


def test_a_file(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "log"
    target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    copy, writer, _ = desk.copy(Pump.kind, target)
    os.write(writer, b"a line\n")
    desk.close(writer)
    desk.until(lambda: copy.done.done)
    assert file.read_bytes() == b"a line\n"


def test_a_disk_that_is_full_is_told_of_once(desk: Desk) -> None:
    copy, writer, _ = desk.copy(Pump.kind, os.open("/dev/full", os.O_WRONLY))
    full: list[int] = []
    copy.full = lambda: full.append(1)
    os.write(writer, b"a line\n")
    desk.until(lambda: full)
    os.write(writer, b"a line\n")
    desk.close(writer)
    desk.until(lambda: copy.done.done)
    assert full == [1]


def test_what_is_stopped_is_closed(desk: Desk) -> None:
    copy, writer, reader = desk.copy()
    _, other, others_reader = desk.copy()
    copy.close()
    assert copy.done.done
    assert desk.copier._copies.keys() == {2}

    def is_closed() -> bool:
        try:
            return os.read(reader, 1) == b""
        except BlockingIOError:
            return False

    desk.until(is_closed)
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.write(other, b"here")
    desk.arrives(others_reader, b"here")


def late_memory() -> int:
    """The address of two pages of memory, of which nobody brings the second one; 0 where that is
    not possible. The process that calls this has them, not its children.
    """
    libc = ctypes.CDLL(None)
    fd = libc.syscall(USERFAULTFD, os.O_CLOEXEC)
    if fd < 0:
        return 0
    fcntl.ioctl(fd, UFFDIO_API, bytearray(struct.pack("=QQQ", 0xAA, 0, 0)))
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, 2 * PAGE, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    ctypes.memset(address, ord("x"), PAGE)
    fcntl.ioctl(fd, UFFDIO_REGISTER, bytearray(struct.pack("=QQQQ", address + PAGE, PAGE, 1, 0)))
    return int(address)


def writes_late(writer: int) -> int:
    """A child of ours that does not come out of write(2), or ends where there is no means."""
    pid = os.fork()
    if pid == 0:
        try:
            address = late_memory()
            if address:
                ctypes.CDLL(None).write(writer, ctypes.c_void_p(address), 2 * PAGE)
        finally:
            os._exit(0)
    return pid


def test_a_writer_that_is_stuck_holds_up_nobody_else(desk: Desk) -> None:
    """Half of what it writes is in the pipe, whose lock it has until its memory is brought."""
    ended: list[int] = []
    children: list[int] = []

    def is_stuck(writer: int) -> None:
        pid = writes_late(writer)
        children.append(pid)
        desk.exits.expect(pid, lambda *_: ended.append(pid))
        call = Path(f"/proc/{pid}/syscall")
        desk.until(lambda: ended or call.read_text().startswith(f"{WRITE} "))
        if ended:
            pytest.skip("the kernel has no userfaultfd(2) for us")

    stuck = [desk.copy(before=is_stuck) for _ in range(3)]
    copies = [desk.copy() for _ in range(3)]
    for turn in range(3):
        for _, writer, reader in copies:
            os.write(writer, b"%d" % turn)
            desk.arrives(reader, b"%d" % turn)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for _, writer, reader in stuck:
        desk.close(writer)
        desk.arrives(reader, b"x" * PAGE)
    desk.until(lambda: all(copy.done.done for copy, _, _ in stuck))


@pytest.mark.parametrize("which", [0, -1])
def test_its_death(desk: Desk, which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process, or one of the others: another one goes on."""
    monkeypatch.setattr("ociruntime.shim.copier.SHORT", 0.0)
    copy, writer, reader = desk.copy()
    os.write(writer, b"before")
    desk.arrives(reader, b"before")
    before = processes()
    os.kill(before[which], signal.SIGKILL)
    desk.until(lambda: processes() and before[0] not in processes())
    os.write(writer, b"after")
    desk.arrives(reader, b"after")
    desk.close(writer)
    desk.until(lambda: copy.done.done)


def test_where_there_is_none_the_loop_copies(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ociruntime.shim.copier.PROGRAM", "oci-nothing")
    copy, writer, reader = desk.copy()
    assert copy.local is not None
    assert "one pod may hold up" in desk.warnings[0]
    os.write(writer, b"here")
    desk.arrives(reader, b"here")
    desk.close(writer)
    desk.until(lambda: copy.done.done)


def test_many(desk: Desk) -> None:
    """More at once than there are processes."""
    copies = [desk.copy() for _ in range(100)]

    for turn in range(5):
        for number, (_, writer, _) in enumerate(copies):
            os.write(writer, b"%d-%d" % (turn, number))
        for number, (_, _, reader) in enumerate(copies):
            desk.arrives(reader, b"%d-%d" % (turn, number))
    desk.until(lambda: len(processes()) <= 5)
    for _, writer, _ in copies:
        desk.close(writer)
    desk.until(lambda: all(copy.done.done for copy, _, _ in copies))
