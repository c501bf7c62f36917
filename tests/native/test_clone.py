"""ociruntime.kernel._sys.clone: fork style, with a pidfd."""

from __future__ import annotations

import errno
import os
import select
import signal
from pathlib import Path

import pytest

from ociruntime.kernel import _sys
from tests.support.patience import PATIENCE

CLONE_VM, CLONE_PARENT, CLONE_THREAD, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_NEWPID = (
    0x100, 0x8000, 0x10000, 0x10000000, 0x04000000, 0x20000000,
)  # fmt: skip


def wait_exit(pid: int) -> int:
    """Reap `pid`; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_child_and_parent() -> None:
    read, write = os.pipe()
    pid, pidfd = _sys.clone(0)
    if pid == 0:
        os.write(write, f"{os.getppid()} {os.getpid()} {pidfd}".encode())
        os._exit(7)
    assert pid > 0
    assert select.select([pidfd], [], [], PATIENCE)[0] == [pidfd], "readable when it has ended"
    assert wait_exit(pid) == 7
    assert os.read(read, 64).decode() == f"{os.getpid()} {pid} -1"
    for fd in (read, write, pidfd):
        os.close(fd)


def test_pidfd_is_the_child_and_close_on_exec() -> None:
    pid, pidfd = _sys.clone(0)
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert not os.get_inheritable(pidfd)
    assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert wait_exit(pid) == -signal.SIGKILL
    os.close(pidfd)


def test_python_works_in_the_child() -> None:
    """Fork handlers have run: threads' locks and the current thread are the child's own."""
    read, write = os.pipe()
    pid, pidfd = _sys.clone(0)
    if pid == 0:
        import threading

        text = ",".join(str(number) for number in range(1000))
        is_main = threading.current_thread() is threading.main_thread()
        os.write(write, f"{is_main} {len(text)}".encode())
        os._exit(0)
    assert wait_exit(pid) == 0
    assert os.read(read, 64) == b"True 3889"
    for fd in (read, write, pidfd):
        os.close(fd)


def test_exit_signal_zero_needs_wall() -> None:
    pid, pidfd = _sys.clone(0, exit_signal=0)
    if pid == 0:
        os._exit(3)
    wall = 0x40000000  # __WALL: such children are invisible to an ordinary wait
    assert os.waitstatus_to_exitcode(os.waitpid(pid, wall)[1]) == 3
    os.close(pidfd)


@pytest.mark.parametrize("flags", [CLONE_VM, CLONE_THREAD, 0x4000, 0x80000, 0x00100000])
def test_sharing_is_refused(flags: int) -> None:
    with pytest.raises(ValueError, match="fork style"):
        _sys.clone(flags)


def test_parent_flag_needs_no_signal() -> None:
    with pytest.raises(ValueError, match="exit_signal must be 0"):
        _sys.clone(CLONE_PARENT)


def test_sibling() -> None:
    """With CLONE_PARENT the caller's parent gets the child."""
    read, write = os.pipe()
    middle, middle_fd = _sys.clone(0)
    if middle == 0:
        pid, _ = _sys.clone(CLONE_PARENT, -1, 0)
        if pid == 0:
            os._exit(5)
        os.write(write, str(pid).encode())
        os._exit(0)
    assert wait_exit(middle) == 0
    assert wait_exit(int(os.read(read, 64))) == 5
    for fd in (read, write, middle_fd):
        os.close(fd)


def test_failure_is_reported_not_raised() -> None:
    assert _sys.clone(0, cgroup_fd=2**20) == (-errno.EBADF, -1)
    assert _sys.clone(0x20000 | 0x200) == (-errno.EINVAL, -1), "CLONE_NEWNS with CLONE_FS"


def test_exit_signal_out_of_range() -> None:
    assert _sys.clone(0, -1, 65) == (-errno.EINVAL, -1)


@pytest.mark.kernel
def test_namespaces() -> None:
    read, write = os.pipe()
    pid, pidfd = _sys.clone(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWPID)
    if pid == 0:
        os.write(write, f"{os.getpid()} {os.readlink('/proc/self/ns/uts')}".encode())
        os._exit(0)
    assert wait_exit(pid) == 0
    inner, uts = os.read(read, 256).decode().split()
    assert inner == "1"
    assert uts != os.readlink("/proc/self/ns/uts")
    for fd in (read, write, pidfd):
        os.close(fd)


def cgroup2_mount() -> Path | None:
    """Where cgroup v2 is mounted (alone or beside v1)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


@pytest.mark.kernel
def test_into_cgroup() -> None:
    mount = cgroup2_mount()
    if mount is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    cgroup = mount / f"ociruntime-test-clone-{os.getpid()}"
    cgroup.mkdir()
    try:
        fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
        pid, pidfd = _sys.clone(0, fd)
        os.close(fd) if pid else None
        if pid == 0:
            own = Path("/proc/self/cgroup").read_text()
            os._exit(0 if cgroup.name in own else 1)
        os.close(pidfd)
        assert wait_exit(pid) == 0
    finally:
        cgroup.rmdir()
