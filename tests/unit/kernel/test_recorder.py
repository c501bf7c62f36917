"""The recorder is a fair stand-in: it refuses what the kernel refuses, and sees what is left."""

from __future__ import annotations

import errno
import os

import pytest

from ociruntime.kernel import constants as c
from tests.support.model.recorder import ProgramStarted, Recorder

DIRECTORY = c.O_PATH | c.O_DIRECTORY


@pytest.fixture
def recorder() -> Recorder:
    made = Recorder()
    made.add("/etc/passwd", c.S_IFREG | 0o644, b"root:x:0:0")
    made.add_mount("/proc", "proc")
    made.add_mount("/cg", "cgroup")
    made.mark()
    return made


@pytest.mark.parametrize(
    ("path", "flags", "number"),
    [
        ("/missing", c.O_PATH, errno.ENOENT),
        ("/missing/x", c.O_PATH, errno.ENOENT),
        ("/etc/passwd/x", c.O_PATH, errno.ENOTDIR),
        ("/etc/passwd", DIRECTORY, errno.ENOTDIR),
        ("/etc", c.O_WRONLY, errno.EISDIR),
        ("/etc/passwd", c.O_CREAT | c.O_EXCL | c.O_WRONLY, errno.EEXIST),
        ("/cg/missing", DIRECTORY, errno.ENOENT),
    ],
)
def test_open_refuses(recorder: Recorder, path: str, flags: int, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        recorder.open(path, flags)
    assert caught.value.errno == number
    assert recorder.calls[-1].errno == number


def test_files(recorder: Recorder) -> None:
    fd = recorder.open("/etc/new", c.O_CREAT | c.O_WRONLY, 0o600)
    recorder.write_all(fd, b"text")
    recorder.close(fd)
    fd = recorder.open("/etc/new", c.O_RDONLY)
    assert recorder.read(fd, 3) + recorder.read(fd, 10) + recorder.read(fd, 10) == b"text"
    stat = recorder.stat(fd)
    assert (stat.kind, stat.size, stat.mode & 0o777) == (c.S_IFREG, 4, 0o600)
    names = recorder.names(recorder.open("/etc", c.O_RDONLY | c.O_DIRECTORY))
    assert sorted(names) == ["new", "passwd"]
    assert recorder.left() == ["new disk 1: /etc/new"]


def test_closed_descriptor(recorder: Recorder) -> None:
    fd = recorder.open("/etc", DIRECTORY)
    recorder.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        recorder.stat(fd)


def test_failing_call(recorder: Recorder) -> None:
    recorder.fail_at, recorder.fail_with = 1, errno.ENOSPC
    fd = recorder.open("/etc", DIRECTORY)
    with pytest.raises(OSError, match="No space left") as caught:
        recorder.mkdirat(fd, "sub", 0o755)
    assert caught.value.errno == errno.ENOSPC
    assert recorder.left() == []
    recorder.mkdirat(fd, "sub", 0o755)
    assert recorder.left() == ["new disk 1: /etc/sub"]


def test_failing_close_closes(recorder: Recorder) -> None:
    fd = recorder.open("/etc", DIRECTORY)
    recorder.fail_at = 1
    with pytest.raises(OSError, match="Input/output error"):
        recorder.close(fd)
    assert fd not in recorder.host.fds


def test_lost_file_is_told(recorder: Recorder) -> None:
    recorder.unlinkat(recorder.open("/etc", DIRECTORY), "passwd")
    assert recorder.left() == ["lost disk 1: /etc/passwd"]


def test_mount_is_seen_in_its_namespace_only(recorder: Recorder) -> None:
    pid, _ = recorder.clone(c.CLONE_NEWNS)
    recorder.process = recorder.processes[pid]
    tmpfs = recorder.new_filesystem("tmpfs", "tmpfs", [])
    recorder.move_mount(tmpfs, recorder.open("/etc", DIRECTORY))
    with pytest.raises(FileNotFoundError):
        recorder.open("/etc/passwd", c.O_PATH)
    recorder.process = recorder.host
    recorder.open("/etc/passwd", c.O_PATH)
    assert recorder.left() == [f"process {pid}"]
    recorder.end(recorder.processes[pid])
    assert recorder.left() == []


def test_mount_in_the_host_namespace_is_left(recorder: Recorder) -> None:
    tmpfs = recorder.new_filesystem("tmpfs", "tmpfs", [])
    recorder.move_mount(tmpfs, recorder.open("/etc", DIRECTORY))
    assert "a mount in the host's namespace" in recorder.left()


def test_occupied_cgroup(recorder: Recorder) -> None:
    """It cannot be removed while a process is in it."""
    top = recorder.open("/cg", DIRECTORY)
    recorder.mkdirat(top, "one", 0o755)
    cgroup = recorder.openat(top, "one", DIRECTORY)
    pid, pidfd = recorder.clone(0, cgroup)
    procs = recorder.openat(cgroup, "cgroup.procs", c.O_RDONLY)
    assert recorder.read(procs, 100) == f"{pid}\n".encode()
    with pytest.raises(OSError, match="busy"):
        recorder.unlinkat(top, "one", c.AT_REMOVEDIR)
    recorder.pidfd_send_signal(pidfd, c.SIGKILL)
    assert recorder.has_ended(pidfd)
    assert recorder.wait_pidfd(pidfd) == (2, c.SIGKILL)
    recorder.unlinkat(top, "one", c.AT_REMOVEDIR)
    assert recorder.left() == []


def test_living_process_has_not_ended(recorder: Recorder) -> None:
    _, pidfd = recorder.clone(0)
    assert not recorder.has_ended(pidfd)


def test_exec_closes(recorder: Recorder) -> None:
    kept, closed = recorder.open("/etc", DIRECTORY), recorder.open("/etc", DIRECTORY)
    recorder.keep_on_exec(kept)
    with pytest.raises(ProgramStarted) as caught:
        recorder.execveat(recorder.memfd("x"), [b"program", b"argument"], [])
    assert caught.value.argv == [b"program", b"argument"]
    assert set(recorder.host.fds) == {kept}
    assert closed not in recorder.host.fds
