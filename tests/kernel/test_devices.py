"""/dev (config-linux.md, "Devices", "Default Devices", "Default Symlinks")."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
STAT = "stat -c '%n %F %t:%T %a %u:%g'"
DEFAULTS = {
    "null": "1:3",
    "zero": "1:5",
    "full": "1:7",
    "random": "1:8",
    "urandom": "1:9",
    "tty": "5:0",
}
SYMLINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 65536}]


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_default_devices(runtime: Runtime, bundle: MakeBundle, user: bool) -> None:
    made = bundle()
    if user:
        made.add_namespace("user").set("/linux/uidMappings", MAPPING)
        made.set("/linux/gidMappings", MAPPING)
    output = runtime.run_output(made, f"cd /dev; {STAT} {' '.join(DEFAULTS)}; echo x >null")
    lines = {line.split()[0]: line for line in output.splitlines()}
    for name, numbers in DEFAULTS.items():
        assert f"character special file {numbers} 666" in lines[name]


def test_default_symlinks(runtime: Runtime, bundle: MakeBundle) -> None:
    script = "; ".join(f"readlink /dev/{name}" for name in SYMLINKS)
    assert runtime.run_output(bundle(), script).split() == list(SYMLINKS.values())


def test_streams_can_be_opened_by_name(runtime: Runtime, bundle: MakeBundle) -> None:
    result = runtime.run(bundle().shell("echo out >/dev/stdout; echo err >/dev/stderr")).check()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_devices(runtime: Runtime, bundle: MakeBundle) -> None:
    entries = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
         "uid": 7, "gid": 8},
        {"path": "/dev/sub/dir/disk", "type": "b", "major": 7, "minor": 300},
        {"path": "/pipe", "type": "p", "fileMode": 0o600},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
    ]  # fmt: skip
    made = bundle().set("/linux/devices", entries)
    paths = " ".join(str(entry["path"]) for entry in entries)
    assert runtime.run_output(made, f"{STAT} {paths}").splitlines() == [
        "/dev/fuse character special file a:e5 640 7:8",
        "/dev/sub/dir/disk block special file 7:12c 666 0:0",
        "/pipe fifo 0:0 600 0:0",
        "/dev/unbuffered character special file 1:3 666 0:0",
    ]


def test_caller_umask_does_not_matter(runtime: Runtime, bundle: MakeBundle) -> None:
    entry = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}
    made = bundle().set("/linux/devices", [entry]).shell(f"{STAT} /dev/fuse /dev/null; umask")
    old = os.umask(0o077)
    try:
        output = runtime.run(made).check().stdout
    finally:
        os.umask(old)
    assert output.count(" 666 ") == 2
    assert output.splitlines()[-1] == "0022" or not runtime.is_ours


def test_existing_other_file(runtime: Runtime, bundle: MakeBundle) -> None:
    """A file that is not the device is an error (config-linux.md#devices)."""
    if not runtime.is_ours:
        pytest.skip("others replace or ignore the file")
    made = bundle().set(
        "/linux/devices", [{"path": "/etc/hosts", "type": "c", "major": 1, "minor": 3}]
    )
    assert_clear(runtime, runtime.create(made), "/etc/hosts")
    assert (made.rootfs / "etc/hosts").is_file()


def test_existing_same_device(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().drop_mounts("/dev")
    os.mknod(made.rootfs / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    before = (made.rootfs / "dev/null").stat().st_ino
    runtime.run_output(made, "echo x >/dev/null")
    assert (made.rootfs / "dev/null").stat().st_ino == before


def test_null_works_for_users(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/user", {"uid": 1000, "gid": 1000})
    assert (
        runtime.run_output(made, "echo x >/dev/null; head -c 2 /dev/zero | od -An -tx1")
        == " 00 00\n"
    )
