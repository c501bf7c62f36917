"""Namespaces, new and joined, id mappings, names and clocks (config-linux.md, "Namespaces")."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
# type in the config -> name below /proc/PID/ns
FILES = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 65536}]


def inode(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def with_user_namespace(bundle: Bundle) -> Bundle:
    bundle.add_namespace("user").set("/linux/uidMappings", MAPPING)
    bundle.set("/linux/gidMappings", MAPPING)
    bundle.path.chmod(0o755)
    return bundle


@contextmanager
def holder(kind: str) -> Iterator[int]:
    """A process in a new namespace of type ``kind``."""
    options = {
        "pid": ["--pid", "--fork"],
        # Before Linux 6.3 only the children of who asks are in a new one of time.
        "time": ["--time", "--fork"],
        "network": ["--net"],
        "user": ["--user", "-r"],
    }
    command = ["unshare", *options.get(kind, [f"--{kind}"]), "sleep", "1000"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield _member(process.pid, kind)
        finally:
            for child in _children(process.pid):
                os.kill(child, 9)
            process.kill()


def _member(pid: int, kind: str) -> int:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for candidate in [pid, *_children(pid)]:
            if inode(candidate, kind) != inode("self", kind):
                return candidate
        time.sleep(0.01)
    raise AssertionError(f"no process in a new {kind} namespace")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("kind", FILES)
def test_new(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle(args=["sleep", "100"])
    if kind == "user":
        with_user_namespace(made)
    elif kind == "time":
        made.add_namespace("time")
    pid = runtime.pid(runtime.up(made))
    assert inode(pid, kind) != inode("self", kind)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "mount"])
def test_absent(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """What is not listed is the runtime's own."""
    made = bundle(args=["sleep", "100"]).drop_namespace(kind).drop_mounts("/dev/mqueue")
    if kind == "network":
        made.mount("/sys").update(type="bind", source="/sys", options=["rbind", "ro"])
    if kind == "uts":
        made.remove("/hostname")
    pid = runtime.pid(runtime.up(made))
    assert inode(pid, kind) == inode("self", kind)
    others = [name for name in ("pid", "network", "ipc", "uts") if name != kind]
    assert all(inode(pid, name) != inode("self", name) for name in others)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_joined(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle(args=["sleep", "100"]).drop_namespace(kind)
    if kind == "uts":
        made.remove("/hostname")
    with holder(kind) as member:
        made.add_namespace(kind, f"/proc/{member}/ns/{FILES[kind]}")
        container = runtime.up(made)
        pid = runtime.pid(container)
        assert inode(pid, kind) == inode(member, kind)
        runtime.delete(container, "--force").check()


def test_joined_mount(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"]).drop_namespace("mount")
    with holder("mount") as member:
        made.add_namespace("mount", f"/proc/{member}/ns/mnt")
        container = runtime.up(made)
        pid = runtime.pid(container)
        assert inode(pid, "mount") == inode(member, "mount")
        assert not Path(f"/proc/{pid}/root/{runtime.binary}").exists()
        runtime.delete(container, "--force").check()


def test_message_queues_belong_to_root_of_the_user_namespace(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    """/dev/mqueue is its maker's, who has to be somebody in there."""
    made = with_user_namespace(bundle()).shell("stat -c %u /dev/mqueue; chmod 1770 /dev/mqueue")
    assert runtime.run(made).check().stdout == "0\n"


def test_loopback_belongs_to_root_of_the_user_namespace(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    """Its files in sysfs are whose root is when the network namespace is made."""
    made = with_user_namespace(bundle()).add_mount("/mnt", "sysfs", "sysfs")
    made.shell("stat -L -c '%u %g' /mnt/class/net/lo /mnt/class/net/lo/mtu")
    assert runtime.run(made).check().stdout == "0 0\n0 0\n"


@pytest.mark.parametrize("clocks", [False, True], ids=["", "clocks"])
@pytest.mark.parametrize("kind", ["network", "ipc", "uts"])
def test_joined_beside_a_new_user_namespace(
    runtime: Runtime, bundle: MakeBundle, kind: str, clocks: bool
) -> None:
    """They are the host's, so they are joined first: a container's network under userns-remap."""
    made = with_user_namespace(bundle(args=["sleep", "100"])).drop_namespace(kind)
    made.drop_mounts("/sys", "/sys/fs/cgroup", "/dev/mqueue").remove("/hostname")
    if clocks:
        made.add_namespace("time").set("/linux/timeOffsets", {"boottime": {"secs": 7}})
    with holder(kind) as member:
        made.add_namespace(kind, f"/proc/{member}/ns/{FILES[kind]}")
        container = runtime.up(made)
        pid = runtime.pid(container)
        assert inode(pid, kind) == inode(member, kind)
        assert inode(pid, "user") != inode("self", "user")
        runtime.delete(container, "--force").check()


def test_joined_user(runtime: Runtime, bundle: MakeBundle) -> None:
    """With the namespaces that belong to it: a pod's second container."""
    first = with_user_namespace(bundle(args=["sleep", "100"]))
    pid = runtime.pid(runtime.up(first))
    second = bundle(args=["sleep", "100"])
    for kind in ("network", "ipc", "uts"):
        second.drop_namespace(kind).add_namespace(kind, f"/proc/{pid}/ns/{FILES[kind]}")
    second.add_namespace("user", f"/proc/{pid}/ns/user").remove("/hostname")
    other = runtime.pid(runtime.up(second))
    for kind in ("user", "network", "ipc", "uts"):
        assert inode(other, kind) == inode(pid, kind)
    assert inode(other, "pid") != inode(pid, "pid")


@pytest.mark.parametrize(("kind", "other"), [("network", "ipc"), ("pid", "uts"), ("uts", "user")])
def test_wrong_type(runtime: Runtime, bundle: MakeBundle, kind: str, other: str) -> None:
    """The path must lead to a namespace of the type that is stated."""
    made = bundle().drop_namespace(kind).add_namespace(kind, f"/proc/self/ns/{FILES[other]}")
    assert_clear(runtime, runtime.create(made), kind)


@pytest.mark.parametrize("kind", ["mount", "uts"])
def test_the_runtimes_own(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """pivot_root(2) there would move every process of the machine, the hostname would be its."""
    made = bundle().drop_namespace(kind).add_namespace(kind, f"/proc/self/ns/{FILES[kind]}")
    if kind == "mount":  # ... so a runtime that does it all the same gets one that nobody needs
        wrapper = ("unshare", "--mount", "--propagation", "private")
    else:
        wrapper = ("unshare", "--uts")
    result = runtime.create(made, wrapper=wrapper)
    assert_clear(runtime, result, f"{kind} namespace /proc/self", "runtime's own")


def test_not_a_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().drop_namespace("network").add_namespace("network", "/etc/passwd")
    assert_clear(runtime, runtime.create(made), "network", "/etc/passwd")


def test_missing_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().drop_namespace("network").add_namespace("network", "/nowhere/net")
    assert_clear(runtime, runtime.create(made), "/nowhere/net")


def test_id_mappings(runtime: Runtime, bundle: MakeBundle) -> None:
    made = with_user_namespace(bundle()).shell("touch /tmp/mine; sleep 100")
    made.set("/process/user", {"uid": 1000, "gid": 1000})
    pid = runtime.pid(runtime.up(made))
    for name in ("uid_map", "gid_map"):
        assert Path(f"/proc/{pid}/{name}").read_text().split() == ["0", "100000", "65536"]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "\nUid:\t101000\t101000\t101000\t101000\n" in status
    end = time.monotonic() + PATIENCE
    while not (made.rootfs / "tmp/mine").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    info = (made.rootfs / "tmp/mine").stat()
    assert (info.st_uid, info.st_gid) == (101_000, 101_000)


def test_several_mappings(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["cat", "/proc/self/uid_map"]).add_namespace("user")
    maps = [
        {"containerID": 0, "hostID": 100_000, "size": 1},
        {"containerID": 1, "hostID": 200_000, "size": 10},
    ]
    made.set("/linux/uidMappings", maps).set("/linux/gidMappings", MAPPING)
    lines = runtime.run(made).check().stdout.splitlines()
    assert [line.split() for line in lines] == [["0", "100000", "1"], ["1", "200000", "10"]]


def test_names(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(hostname="a-host", domainname="a.domain")
    script = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname"
    assert runtime.run_output(made, script) == "a-host\na.domain\n"
    assert os.uname().nodename != "a-host"


def test_time_offsets(runtime: Runtime, bundle: MakeBundle) -> None:
    offsets = {"monotonic": {"secs": 1000}, "boottime": {"secs": 1_000_000, "nanosecs": 5}}
    made = bundle().add_namespace("time").set("/linux/timeOffsets", offsets)
    output = runtime.run_output(made, "cat /proc/uptime /proc/self/timens_offsets")
    uptime, *lines = output.splitlines()
    own = float(Path("/proc/uptime").read_text().split()[0])
    assert float(uptime.split()[0]) == pytest.approx(own + 1_000_000, abs=20)
    assert [line.split() for line in lines] == [
        ["monotonic", "1000", "0"],
        ["boottime", "1000000", "5"],
    ]


def test_pid_namespace_starts_with_the_program(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle(), "echo $$") == "1\n"


def test_new_network_has_loopback_only(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle(), "ls /sys/class/net") == "lo\n"
