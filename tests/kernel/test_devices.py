"""/dev (config-linux.md, "Devices", "Default Devices", "Default Symlinks")."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.bundle import Bundle
from tests.support.canary import Canary
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


def in_user_namespace(made: Bundle) -> Bundle:
    for path in (made.rootfs, *made.rootfs.rglob("*")):
        os.lchown(path, 100_000, 100_000)
    made.add_namespace("user").set("/linux/uidMappings", MAPPING)
    return made.set("/linux/gidMappings", MAPPING)


def test_more_devices_than_descriptors(runtime: Runtime, bundle: MakeBundle) -> None:
    """In a user namespace they are bind mounts, for each of which a descriptor is open once."""
    devices = [
        {"path": f"/dev/made/{number}", "type": "c", "major": 1, "minor": 3}
        for number in range(100)
    ]
    made = in_user_namespace(bundle()).set("/linux/devices", devices)
    made.set("/process/rlimits", []).shell("ls /dev/made | wc -l")
    few = ("sh", "-c", 'ulimit -n 64; exec setpriv --bounding-set=-sys_resource "$@"', "sh")
    assert runtime.run(made, wrapper=few).check().stdout.strip() == "100"


def test_device_that_the_host_lacks(runtime: Runtime, bundle: MakeBundle) -> None:
    """Root of the host makes it, as the config describes it, for a user namespace, too."""
    entries = [
        {"path": "/dev/lacks", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640,
         "uid": 7, "gid": 8},
        {"path": "/dev/sub/disk", "type": "b", "major": 7, "minor": 300},
        {"path": "/pipe", "type": "p", "fileMode": 0o600},
    ]  # fmt: skip
    made = in_user_namespace(bundle()).set("/linux/devices", entries)
    script = f"{STAT} /dev/lacks /dev/sub/disk /pipe; echo x >/dev/lacks"
    assert runtime.run_output(made, script).splitlines() == [
        "/dev/lacks character special file 1:3 640 7:8",
        "/dev/sub/disk block special file 7:12c 666 0:0",
        "/pipe fifo 0:0 600 0:0",
    ]


def test_bound_devices_hold_no_programs(runtime: Runtime, bundle: MakeBundle) -> None:
    entry = {"path": "/dev/made", "type": "c", "major": 1, "minor": 3}
    made = in_user_namespace(bundle()).set("/linux/devices", [entry])
    mounts = parse_mountinfo(runtime.run_output(made, "cat /proc/self/mountinfo"))
    found = {mount.point: mount for mount in mounts if mount.point.startswith("/dev/")}
    for path in (*(f"/dev/{name}" for name in DEFAULTS), "/dev/made"):
        assert {"nosuid", "noexec", "rw"} <= found[path].options
        assert not found[path].tags


def test_devices_are_bound_on_what_an_earlier_container_left(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    made = in_user_namespace(bundle()).drop_mounts("/dev")
    for _ in range(2):
        runtime.run_output(made, "echo x >/dev/null")


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_of_two_devices_on_one_path_the_first_is_made(
    runtime: Runtime, bundle: MakeBundle, user: bool
) -> None:
    made = in_user_namespace(bundle()) if user else bundle()
    paths = {"/dev/made": 3, "/dev//made": 5, "/dev/made/": 7}
    made.set(
        "/linux/devices",
        [{"path": path, "type": "c", "major": 1, "minor": minor} for path, minor in paths.items()],
    )
    assert " 1:3 " in runtime.run_output(made, f"{STAT} /dev/made")


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_ptmx_is_a_link_whatever_the_config_says(
    runtime: Runtime, bundle: MakeBundle, user: bool
) -> None:
    """docker's --privileged lists the host's ptmx: it would open the host's terminals."""
    made = in_user_namespace(bundle()) if user else bundle()
    made.set("/linux/devices", [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}])
    assert runtime.run_output(made, "readlink /dev/ptmx").strip() == "pts/ptmx"


def test_slash_behind_the_name(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set(
        "/linux/devices", [{"path": "/dev/made/", "type": "c", "major": 1, "minor": 3}]
    )
    runtime.run_output(made, "echo x >/dev/made")


def test_a_symlink_chooses_no_volume_for_a_device(
    runtime: Runtime, bundle: MakeBundle, canary: Canary
) -> None:
    """The node would be on the host for good; on the rootfs itself it is made (CVE-2026-41579)."""
    made = bundle().drop_mounts("/dev").bind(canary.path, "/mnt")
    (made.rootfs / "dev").mkdir(exist_ok=True)
    link = made.rootfs / "dev/made"
    link.symlink_to("/mnt/made")
    made.set("/linux/devices", [{"path": "/dev/made", "type": "c", "major": 1, "minor": 3}])
    assert_clear(runtime, runtime.create(made), "/dev/made", "symlink", "/mnt/made", "mount")
    canary.check()
    link.unlink()
    link.symlink_to("/etc/made")
    assert " 1:3 " in runtime.run_output(made, f"{STAT} /etc/made")


def test_a_path_that_goes_up_again(runtime: Runtime, bundle: MakeBundle) -> None:
    """What is in front of a `..` need not be there; nobody's symlink has led elsewhere."""
    device = {"type": "c", "path": "/dev/missing/../made", "major": 1, "minor": 3}
    made = bundle().set("/linux/devices", [device])
    assert "1:3" in runtime.run_output(made, f"{STAT} /dev/made")
