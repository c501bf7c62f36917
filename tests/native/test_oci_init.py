"""oci-init driven directly: waiting, identity, descriptors, errors. Rootless parts run anywhere."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ociruntime.kernel import _sys, block
from tests.native.driver import (
    BLOCK_FD,
    CHANNEL_FD,
    OCI_EXEC,
    OCI_INIT,
    PROC_FD,
    Init,
    last_cap,
    own_capabilities,
    shell,
    status_field,
)
from tests.support.patience import PATIENCE

STATUS = "cat /proc/self/status"
CAP_CHOWN, CAP_KILL, CAP_SETPCAP, CAP_NET_RAW, CAP_SYS_ADMIN = 0, 5, 8, 13, 21
CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
NO_CAPS = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), 0)


def mask(*capabilities: int) -> int:
    return sum(1 << number for number in capabilities)


def bpf(*instructions: tuple[int, int, int, int]) -> bytes:
    """struct sock_filter[]: (code, jt, jf, k)."""
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


def deny(number: int, error: int) -> bytes:
    """A filter that makes one system call fail with `error` (the architecture is not looked at)."""
    return bpf((0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, RET_ERRNO | error),
               (6, 0, 0, RET_ALLOW))  # fmt: skip


# --- the program itself ---------------------------------------------------------------------


@pytest.mark.parametrize("program", [OCI_INIT, OCI_EXEC], ids=["oci-init", "oci-exec"])
def test_one_segment_and_nothing_writable(program: Path) -> None:
    image = program.read_bytes()
    (offset,) = struct.unpack_from("=Q", image, 32)
    size, count = struct.unpack_from("=2H", image, 54)
    headers = [struct.unpack_from("=2I", image, offset + size * i) for i in range(count)]
    loads = [flags for kind, flags in headers if kind == 1]
    assert loads == [5], "one read-execute segment: no data, no relocation, no interpreter"
    stacks = [flags for kind, flags in headers if kind == 0x6474E551]
    assert stacks == [6], "the stack is not executable"
    # Two pages are what a container that waits keeps of oci-init; oci-exec is gone in a moment.
    assert len(image) < (8192 if program == OCI_INIT else 12288)


# --- going on at once -----------------------------------------------------------------------


def test_runs_and_closes_the_channel() -> None:
    with Init(b"echo", b"hello world") as init:
        assert init.report() is None
        assert init.finish().output == b"hello world\n"
        assert init.status == 0


def test_without_channel() -> None:
    with Init(b"echo", b"x", channel_fd=-1) as init:
        assert init.finish().status == 0
    with Init(b"echo", b"x", channel_fd=-1, candidates=[b"/nonexistent"]) as init:
        assert init.finish().status == 127


def test_environment_is_the_given_one() -> None:
    with Init(b"env", env={b"A": b"1", b"LD_PRELOAD": b"/x"}) as init:
        assert init.finish().output == b"A=1\nLD_PRELOAD=/x\n"


def test_candidates_like_execvp(tmp_path: Path) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.write_text("#!/bin/sh\n")
    forbidden.chmod(0o644)
    a_file = bytes(tmp_path / "forbidden/below")
    with Init(b"echo", b"3", candidates=[b"/no/echo", a_file, bytes(forbidden), b"/bin/busybox",
                                         b"/never"]) as init:  # fmt: skip
        assert init.report() is None
        assert init.finish().output == b"3\n"
    with Init(b"x", candidates=[b"/no/x", bytes(forbidden), b"/no/y"]) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno, report.detail) == (block.STAGE_EXEC, errno.EACCES, 1)
        assert init.finish().status == 126


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [("absent", errno.ENOENT, 127), ("directory", errno.EACCES, 126), ("empty", errno.ENOEXEC, 126),
     ("below-file", errno.ENOTDIR, 127), ("loop", errno.ELOOP, 126)],
)  # fmt: skip
def test_exec_failure(tmp_path: Path, kind: str, error: int, status: int) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "empty").touch(0o755)
    (tmp_path / "loop").symlink_to("loop")
    path = "empty/x" if kind == "below-file" else kind
    with Init(b"x", candidates=[bytes(tmp_path / path)]) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno, report.detail) == (block.STAGE_EXEC, error, 0)
        assert init.finish().status == status


def test_umask_and_cwd(tmp_path: Path) -> None:
    with shell("umask; pwd", umask=0o137, cwd=bytes(tmp_path)) as init:
        assert init.finish().text == f"0137\n{tmp_path}\n"


@pytest.mark.parametrize(("kind", "error"), [("absent", errno.ENOENT), ("file", errno.ENOTDIR)])
def test_cwd_missing(tmp_path: Path, kind: str, error: int) -> None:
    (tmp_path / "file").touch()
    with shell("true", cwd=bytes(tmp_path / kind)) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_CHDIR, error)
        assert init.finish().status == 1


def test_cwd_deleted_is_refused(tmp_path: Path) -> None:
    """getcwd of a removed directory fails: there is no path to be sure of."""
    gone = tmp_path / "gone"
    gone.mkdir()
    fd = os.open(gone, os.O_RDONLY)
    gone.rmdir()
    with shell("true", cwd=b"/proc/self/fd/3", keep_fds=1, fds={3: fd}) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_CWD, errno.ENOENT)
    os.close(fd)


def test_signals_are_reset() -> None:
    def ignore_and_block() -> None:
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGRTMIN + 3):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})

    with Init(b"cat", b"/proc/self/status", before=ignore_and_block) as init:
        text = init.finish().text
    assert int(status_field(text, "SigIgn"), 16) == 0
    assert int(status_field(text, "SigBlk"), 16) == 0


def test_descriptors_really_closed() -> None:
    extra = dict.fromkeys((7, 59, 63, 64, 150), 0)
    with Init(b"ls", b"/proc/self/fd", fds=extra) as init:
        # 3 is the directory that ls itself reads.
        assert init.finish().text.split() == ["0", "1", "2", "3"]


def test_kept_descriptors() -> None:
    extra = dict.fromkeys((3, 4, 5, 6, 7), 0)
    with Init(b"ls", b"/proc/self/fd", fds=extra, keep_fds=3) as init:
        assert init.finish().text.split() == ["0", "1", "2", "3", "4", "5", "6"]


def test_program_path_through_a_descriptor_is_gone(tmp_path: Path) -> None:
    """CVE-2024-21626: /proc/self/fd/N as the program, N a directory that leaked to us."""
    (tmp_path / "tool").write_bytes(Path("/bin/busybox").read_bytes())
    (tmp_path / "tool").chmod(0o755)
    fd = os.open(tmp_path, os.O_RDONLY)
    with Init(b"echo", b"escaped", fds={9: fd}, candidates=[b"/proc/self/fd/9/tool"]) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_EXEC, errno.ENOENT)
        assert init.finish().output == b""
    os.close(fd)


def test_no_new_privs() -> None:
    for wanted in (False, True):
        with shell(STATUS, no_new_privs=wanted) as init:
            assert status_field(init.finish().text, "NoNewPrivs") == str(int(wanted))


def test_seccomp_after_no_new_privs() -> None:
    chdir = 80 if os.uname().machine == "x86_64" else 49
    script = f"{STATUS}; cd /tmp || exit 9"
    with shell(script, no_new_privs=True, seccomp=deny(chdir, errno.EPERM)) as init:
        assert init.report() is None, "our own chdir comes before the filter"
        text = init.finish().text
    assert status_field(text, "Seccomp") == "2"
    assert status_field(text, "Seccomp_filters") == "1"
    assert init.status == 9, "the program's chdir should have failed"


def test_seccomp_filter_without_instructions_is_an_error() -> None:
    with shell("true", no_new_privs=True, seccomp=b"") as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_SECCOMP, errno.EINVAL)


def test_seccomp_that_forbids_everything_of_ours_but_execve() -> None:
    """With no_new_privs it is the last thing before execve, and need allow nothing else."""
    execve, exit_group, write = (59, 231, 1) if os.uname().machine == "x86_64" else (221, 94, 64)
    filter_ = bpf((0x20, 0, 0, 0), (0x15, 2, 0, execve), (0x15, 1, 0, exit_group),
                  (0x15, 0, 1, write), (6, 0, 0, RET_ALLOW),
                  (6, 0, 0, RET_ERRNO | errno.EPERM))  # fmt: skip
    with Init(b"x", candidates=[b"/nonexistent"], no_new_privs=True, seccomp=filter_) as init:
        assert init.finish().status == 127


def test_seccomp_listener_arrives_first() -> None:
    new_listener = 1 << 3
    with Init(b"echo", b"ok", no_new_privs=True, seccomp=bpf((6, 0, 0, RET_ALLOW)),
              seccomp_flags=new_listener) as init:  # fmt: skip
        assert init.channel is not None
        message, fds, _, _ = socket.recv_fds(init.channel, 64, 4)
        report = block.unpack_report(message)
        assert (report.stage, report.errno, len(fds)) == (block.STAGE_LISTENER, 0, 1)
        assert "seccomp" in os.readlink(f"/proc/self/fd/{fds[0]}")
        os.close(fds[0])
        assert init.report() is None
        assert init.finish().output == b"ok\n"


def test_rlimits_last() -> None:
    """A limit of no descriptors at all hinders nothing of ours."""
    limits = [(resource.RLIMIT_NOFILE, 0, 0), (resource.RLIMIT_CORE, 0, 4096)]
    with shell("ulimit -n; ulimit -c; ulimit -Hc", rlimits=limits) as init:
        assert init.report() is None
        assert init.finish().text.split() == ["0", "0", "8"]


def test_bad_rlimit_names_its_index() -> None:
    with shell("true", rlimits=[(resource.RLIMIT_CORE, 0, 0), (99, 0, 0)]) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno, report.detail) == (
            block.STAGE_RLIMIT, errno.EINVAL, 1,
        )  # fmt: skip


def damage(offset: int, value: int) -> bytes:
    """A sound block with one field overwritten."""
    sound: dict[str, Any] = {
        "channel_fd": CHANNEL_FD, "cwd": b"/", "candidates": 1, "uid": 0, "gid": 0, "umask": 0,
        "groups": [1], "last_cap": 40, **NO_CAPS,
    }  # fmt: skip
    data = bytearray(block.pack_block(**sound))
    struct.pack_into("=I", data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, 0), (4, 2), (8, 1), (8, 1 << 19), (16, 2), (16, 2**32 - 2), (20, 1), (24, 2**31),
        (40, 2**30), (44, 4), (44, 2**32 - 1), (48, 1), (96, 64), (100, 0), (100, 3), (104, 0),
        (104, 5), (104, 2**31), (108, 128), (120, 2**16), (120, 40),
    ],
)  # fmt: skip
def test_damaged_block(offset: int, value: int) -> None:
    with Init(b"echo", b"x", data=damage(offset, value)) as init:
        assert init.finish().status == block.EXIT_BLOCK
        assert init.output == b""


@pytest.mark.parametrize("data", [b"", b"x" * 64, bytes(4096)])
def test_no_block(data: bytes) -> None:
    with Init(b"echo", b"x", data=data) as init:
        assert init.finish().status == block.EXIT_BLOCK


def test_block_without_final_nul() -> None:
    data = damage(0, block.MAGIC)[:-1] + b"x"
    with Init(b"echo", b"x", data=data) as init:
        assert init.finish().status == block.EXIT_BLOCK


@pytest.mark.parametrize(
    "argv",
    [[b"oci-init"], [b"oci-init 60"], [b"oci-init 60", b"/bin/true"], [b"oci-init ", b"/x", b"x"],
     [b"oci-init x", b"/x", b"x"], [b"oci-init 60 ", b"/x", b"x"], [b"oci-init 0", b"/x", b"x"],
     [b"oci-init 99999999999999999999", b"/x", b"x"], [b"init", b"/x", b"x"]],
)  # fmt: skip
def test_odd_arguments(argv: list[bytes]) -> None:
    pid = os.posix_spawn(OCI_INIT, argv, {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == block.EXIT_BLOCK


# --- waiting --------------------------------------------------------------------------------


def test_start(tmp_path: Path) -> None:
    with Init(b"echo", b"started", wait=True, directory=tmp_path) as init:
        init.until_waiting().start()
        assert init.report() is None
        assert init.finish().output == b"started\n"
        with pytest.raises(ConnectionRefusedError):
            init.connect()


def test_error_after_start(tmp_path: Path) -> None:
    with Init(b"x", candidates=[b"/absent"], wait=True, directory=tmp_path) as init:
        report = init.until_waiting().start().report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_EXEC, errno.ENOENT)
        assert init.finish().status == 127


def test_other_words_leave_it_waiting(tmp_path: Path) -> None:
    with Init(b"echo", b"started", wait=True, directory=tmp_path) as init:
        init.until_waiting()
        for word in (b"", b"x", b"s", b"\0"):
            with init.connect() as connection:
                if word:
                    connection.send(word)
                else:
                    connection.shutdown(socket.SHUT_WR)
                assert connection.recv(64) == b"", "it hangs up"
        init.connect().close()
        assert init.start().report() is None
        assert init.finish().output == b"started\n"


def test_silent_client_does_not_make_it_immortal(tmp_path: Path) -> None:
    with Init(b"echo", b"x", wait=True, directory=tmp_path) as init:
        with init.until_waiting().connect():
            time.sleep(0.02)
            os.kill(init.pid, signal.SIGTERM)
            assert init.finish().status == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [1, 2, 3, 6, 10, 12, 13, 14, 15, 24, 27, 34, 64])
def test_deadly_signal(tmp_path: Path, number: int) -> None:
    with Init(b"echo", b"x", wait=True, directory=tmp_path) as init:
        os.kill(init.until_waiting().pid, number)
        assert init.finish().status == 128 + number


def test_harmless_signals(tmp_path: Path) -> None:
    with Init(b"echo", b"x", wait=True, directory=tmp_path) as init:
        init.until_waiting()
        for number in (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGTSTP,
                       signal.SIGCONT):  # fmt: skip
            os.kill(init.pid, number)
        init.start()
        assert init.report() is None
        assert init.finish().output == b"x\n"


@pytest.mark.kernel
def test_waiting_process_is_closed_and_small(tmp_path: Path) -> None:
    """Only root can look: to anybody else the process is not dumpable."""
    with Init(b"echo", b"x", wait=True, directory=tmp_path, fds={7: 0, 150: 0}) as init:
        init.until_waiting()
        fds = sorted(int(name) for name in os.listdir(f"/proc/{init.pid}/fd"))
        assert BLOCK_FD not in fds
        assert {0, 1, 2, CHANNEL_FD} < set(fds)
        assert len(fds) == 5, "0, 1, 2, the listening socket and the signalfd"
        rollup = Path(f"/proc/{init.pid}/smaps_rollup").read_text()
        pss = int(status_field(rollup, "Pss").split()[0])
        # One page of code, the block's, and of the stack as many as the kernel's random begin lets
        # arguments and frames lie on.
        assert pss <= 36, rollup


def test_its_code_is_small() -> None:
    """One page: each container that waits has a copy of it.

    Two where every instruction has four bytes.
    """
    header = OCI_INIT.read_bytes()[:64]
    (place,) = struct.unpack_from("=Q", header, 32)
    kind, _, _, _, _, size, _ = struct.unpack_from("=IIQQQQQ", OCI_INIT.read_bytes(), place)
    assert kind == 1  # PT_LOAD
    assert size <= (4096 if os.uname().machine == "x86_64" else 8192)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_deadly_signal_for_pid_1(tmp_path: Path, number: int) -> None:
    with Init(b"echo", wait=True, directory=tmp_path, flags=CLONE_NEWPID) as init:
        os.kill(init.until_waiting().pid, number)
        assert init.finish().status == 128 + number


@pytest.mark.kernel
def test_waiting_pid_1_leaves_no_zombie(tmp_path: Path) -> None:
    with Init(b"echo", wait=True, directory=tmp_path, flags=CLONE_NEWPID) as init:
        init.until_waiting()
        subprocess.run(
            ["nsenter", "-t", str(init.pid), "-p", "sh", "-c", "(sleep 0.05 & exit) & exit"],
            check=True,
        )
        children = Path(f"/proc/{init.pid}/task/{init.pid}/children")
        deadline = time.monotonic() + PATIENCE
        time.sleep(0.06)
        while (orphans := children.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert orphans == ""


# --- identity: root only --------------------------------------------------------------------


@pytest.mark.kernel
def test_ids_and_groups() -> None:
    with shell(STATUS, uid=1000, gid=1001, groups=[5, 7], **NO_CAPS) as init:
        assert init.report() is None
        text = init.finish().text
    assert status_field(text, "Uid").split() == ["1000"] * 4
    assert status_field(text, "Gid").split() == ["1001"] * 4
    assert status_field(text, "Groups").split() == ["5", "7"]


@pytest.mark.kernel
def test_empty_group_list_is_set() -> None:
    def add_group() -> None:
        os.setgroups([4, 24])

    with shell(STATUS, groups=[], before=add_group) as init:
        assert status_field(init.finish().text, "Groups") == ""
    with shell(STATUS, groups=None, before=add_group) as init:
        assert status_field(init.finish().text, "Groups").split() == ["4", "24"]


@pytest.mark.kernel
@pytest.mark.parametrize("uid", [0, 1000])
def test_five_capability_sets(uid: int) -> None:
    sets = {
        "bounding": mask(CAP_CHOWN, CAP_KILL, CAP_SETPCAP, CAP_NET_RAW),
        "permitted": mask(CAP_CHOWN, CAP_KILL, CAP_NET_RAW),
        "effective": mask(CAP_CHOWN, CAP_NET_RAW),
        "inheritable": mask(CAP_KILL, CAP_NET_RAW),
        "ambient": mask(CAP_NET_RAW),
    }
    # Root's sets after execve come from the bounding set (capabilities(7)); with an ambient
    # capability, a user's are the ambient ones.
    with shell(STATUS, uid=uid, gid=uid, groups=[], **sets) as init:
        assert init.report() is None
        text = init.finish().text
    seen = {name: int(status_field(text, name), 16) for name in ("CapBnd", "CapInh", "CapAmb")}
    assert seen == {
        "CapBnd": sets["bounding"], "CapInh": sets["inheritable"], "CapAmb": sets["ambient"],
    }  # fmt: skip
    expected = sets["bounding"] | sets["inheritable"] if uid == 0 else sets["ambient"]
    assert int(status_field(text, "CapPrm"), 16) == expected
    assert int(status_field(text, "CapEff"), 16) == expected


@pytest.mark.kernel
def test_no_capabilities_at_all() -> None:
    with shell(STATUS, uid=1000, gid=1000, groups=[], **NO_CAPS) as init:
        text = init.finish().text
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status_field(text, name), 16) == 0, name


@pytest.mark.kernel
def test_capabilities_that_the_kernel_refuses() -> None:
    sets = {**NO_CAPS, "ambient": mask(CAP_NET_RAW)}
    with shell("true", **sets) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno, report.detail) == (
            block.STAGE_AMBIENT, errno.EPERM, CAP_NET_RAW,
        )  # fmt: skip


@pytest.mark.kernel
def test_seccomp_without_no_new_privs() -> None:
    """Loaded while CAP_SYS_ADMIN is there; of ours it must let pass capset, prctl and execve."""
    x86 = os.uname().machine == "x86_64"
    for number in (105, 106, 116, 80, 79, 117, 119) if x86 else (146, 144, 159, 49, 17, 147, 149):
        with shell(STATUS, uid=1000, gid=1000, groups=[], seccomp=deny(number, errno.EPERM),
                   **NO_CAPS) as init:  # fmt: skip
            assert init.report() is None, f"system call {number} came after the filter"
            text = init.finish().text
        assert status_field(text, "Seccomp") == "2"
        assert status_field(text, "NoNewPrivs") == "0"
        assert int(status_field(text, "CapEff"), 16) == 0
        assert status_field(text, "Uid").split()[0] == "1000"


@pytest.mark.kernel
@pytest.mark.parametrize("away", [False, True])
def test_cwd_is_entered_as_the_process(tmp_path: Path, away: bool) -> None:
    """Where it may, or where nobody has entered it before: else the place it is in counts."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    user: dict[str, Any] = {"uid": 1000, "gid": 1000, "groups": [], **NO_CAPS}
    with shell("pwd", cwd=bytes(private), away=away, before=lambda: os.chdir(private), **user) as (
        init
    ):
        report = init.report()
        if away:
            assert report is not None
            assert (report.stage, report.errno) == (block.STAGE_CHDIR, errno.EACCES)
        else:
            assert report is None
            assert init.finish().text == f"{private}\n"
    os.chown(private, 1000, 1000)
    with shell("pwd", cwd=bytes(private), away=away, **user) as init:
        assert init.finish().text == f"{private}\n"


@pytest.mark.kernel
def test_cwd_that_was_entered_is_proven(tmp_path: Path) -> None:
    """Nobody may enter it again, and it is gone: no path to be sure of (CVE-2024-21626)."""
    private, gone = tmp_path / "private", tmp_path / "private" / "gone"
    private.mkdir(mode=0o700)
    gone.mkdir()

    def enter() -> None:
        os.chdir(gone)
        gone.rmdir()

    user: dict[str, Any] = {"uid": 1000, "gid": 1000, "groups": [], **NO_CAPS}
    with shell("pwd", cwd=bytes(gone), before=enter, **user) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_CWD, errno.ENOENT)


@pytest.mark.kernel
@pytest.mark.security
def test_unreachable_cwd_is_refused(tmp_path: Path) -> None:
    """CVE-2024-21626: the working directory through a descriptor that lies outside the root."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    for source, name in ((Path("/bin/busybox"), "bin/busybox"), (OCI_INIT, "init")):
        (root / name).write_bytes(source.read_bytes())
        (root / name).chmod(0o755)
    (root / "proc").mkdir()
    mount = 165 if os.uname().machine == "x86_64" else 40

    def enter_root() -> None:
        assert _sys.call(mount, None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
        assert _sys.call(mount, b"proc", bytes(root / "proc"), b"proc", 0, None) == 0
        os.chroot(root)
        os.chdir("/")

    outside = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    common: dict[str, Any] = {
        "before": enter_root, "executable": b"/init", "flags": CLONE_NEWNS, "keep_fds": 1,
        "fds": {3: outside},
    }  # fmt: skip
    with Init(b"pwd", cwd=b"/../proc", **common) as init:
        assert init.report() is None
        assert init.finish().output == b"/proc\n"
    with Init(b"pwd", cwd=b"/proc/self/fd/3", **common) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_CWD, errno.ENOENT)
        assert init.finish().output == b""
    os.close(outside)


@pytest.mark.kernel
def test_label_is_written_below_the_given_procfs(tmp_path: Path) -> None:
    """A directory made to look like a procfs is enough to see which file gets what."""
    attr = tmp_path / "self" / "attr" / "apparmor"
    attr.mkdir(parents=True)
    (attr / "exec").touch()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    label = (b"apparmor/exec", b"exec my-profile")
    with shell("true", lsm=label, proc_fd=PROC_FD, fds={PROC_FD: fd}) as init:
        assert init.report() is None
        assert init.finish().status == 0
    assert (attr / "exec").read_bytes() == b"exec my-profile"
    (attr / "exec").unlink()
    (attr / "exec").symlink_to("/dev/null")
    with shell("true", lsm=label, proc_fd=PROC_FD, fds={PROC_FD: fd}) as init:
        report = init.report()
        assert report is not None
        assert (report.stage, report.errno) == (block.STAGE_LSM, errno.EXDEV)
    os.close(fd)


@pytest.mark.kernel
def test_lives_in_a_tiny_cgroup(tmp_path: Path) -> None:
    """512 KiB of memory and one process: enough to wait, start and run."""
    mounts = [Path(f"/sys/fs/cgroup/{name}") for name in ("memory", "pids")]
    files = ("memory.limit_in_bytes", "pids.max")
    if not mounts[0].is_dir():
        mounts, files = [Path("/sys/fs/cgroup")] * 2, ("memory.max", "pids.max")
    groups = [mount / f"ociruntime-test-tiny-{os.getpid()}" for mount in mounts]
    with Init(b"true", wait=True, directory=tmp_path) as init:
        init.until_waiting()
        try:
            for group, file, limit in zip(groups, files, ("524288", "1"), strict=True):
                group.mkdir(exist_ok=True)
                if not (group / file).exists():
                    pytest.skip(f"no {file} here: the controller is not enabled")
                (group / file).write_text(limit)
                (group / "cgroup.procs").write_text(str(init.pid))
            assert init.start().report() is None
            assert init.finish().status == 0
        finally:
            if init.status is None:
                os.kill(init.pid, signal.SIGKILL)
                init.finish()
            for group in set(groups):
                if group.exists():
                    group.rmdir()


@pytest.mark.kernel
def test_bounding_set_needs_setpcap() -> None:
    """What cannot be dropped is an error that names the capability."""
    everything = (1 << last_cap() + 1) - 1
    sets: dict[str, Any] = {**NO_CAPS, "bounding": everything & ~mask(CAP_SYS_ADMIN)}
    outer = own_capabilities()
    with shell("true", uid=1000, gid=1000, groups=[], **{**NO_CAPS, "bounding": everything},
               env={b"PATH": b"/bin"}) as init:  # fmt: skip
        assert init.report() is None

    def become_user() -> None:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)

    if outer["bounding"] & mask(CAP_SYS_ADMIN):
        with shell("true", before=become_user, uid=1000, gid=1000, **sets) as init:
            report = init.report()
            assert report is not None
            assert (report.stage, report.errno, report.detail) == (
                block.STAGE_BOUNDING, errno.EPERM, CAP_SYS_ADMIN,
            )  # fmt: skip
