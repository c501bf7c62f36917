"""Groups on the kernel's own cgroup file systems, in whatever mode this host is."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import Layout, detect
from ociruntime.cgroups.devices import rules_of
from ociruntime.cgroups.join import join_self
from ociruntime.cgroups.path import Placement, place
from ociruntime.cgroups.resources import settings_for
from ociruntime.cgroups.signals import signal_all
from ociruntime.cgroups.v2 import bpf
from ociruntime.errors import StepError
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from tests.support.runtime import TIMEOUT
from tests.support.setup import oci_setup

if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from tests.support.sandbox import Sandbox

KERNEL = Kernel()
LAYOUT = detect(KERNEL)
v1_only = pytest.mark.skipif(LAYOUT.mode not in ("v1", "hybrid"), reason="needs cgroup v1")
v2_only = pytest.mark.skipif(LAYOUT.mode != "v2", reason="needs pure cgroup v2")
MIB = 1 << 20

NewGroup = Callable[..., "Group"]


@pytest.fixture
def new_group(sandbox: Sandbox) -> Iterator[NewGroup]:
    made: list[Group] = []

    def make(path: str = "", layout: Layout = LAYOUT) -> Group:
        name = f"/ocirt-test/{sandbox.new_id()}{path}"
        made.append(open_group(KERNEL, place(layout, name, "unused")))
        return made[-1]

    yield make
    for group in made:
        group.remove(kill=True)
        group.close()


@pytest.fixture
def sleeper(sandbox: Sandbox) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    made = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command or ("sleep", "100"), env=sandbox.environment(), stdin=subprocess.PIPE
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.communicate()


def file(group: Group, controller: str, name: str) -> Path:
    found = group.placement.find(controller) or group.placement.places[-1]
    return Path(found.directory, name)


def text(group: Group, controller: str, name: str) -> str:
    return file(group, controller, name).read_text().strip()


def apply(group: Group, **resources: Any) -> None:
    group.apply(settings_for(resources, LAYOUT, []))


def test_detection_is_cheap() -> None:
    """Not much more than reading the files: 0.1 to 0.2 ms on common hardware."""

    def fastest(work: Callable[[], object]) -> float:
        times = []
        for _ in range(30):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return min(times)

    def read() -> None:
        for path in ("/proc/self/mountinfo", "/proc/self/cgroup"):
            Path(path).read_bytes()

    assert fastest(lambda: detect(KERNEL)) < 5 * fastest(read)


def test_the_whole_life(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    group = new_group()
    group.create()
    assert all(Path(item.directory).is_dir() for item in group.placement.places)
    pid = sleeper().pid
    group.join(pid)
    assert group.all_procs() == [pid]
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    leaf = group.placement.places[0].parts[-1]
    assert len([line for line in lines if line.endswith(f"/{leaf}")]) == len(group.placement.places)
    assert signal_all(group, 15) == 1
    group.remove()
    assert not any(Path(item.directory).exists() for item in group.placement.places)


def test_a_clone_enters_without_a_migration_by_others(new_group: NewGroup) -> None:
    group = new_group()
    group.create()
    fds = group.open_to_join()
    run = Run(KERNEL, [])
    run.fds.update(fds)
    with oci_setup(run, group.open_for_clone()) as inner:
        for item in group.placement.places:
            if item.key:
                join_self(inner, item, fds[item.key])
        inner.carry_out()
        lines = Path(f"/proc/{run.pid}/cgroup").read_text().splitlines()
        leaf = group.placement.places[0].parts[-1]
        inside = [line for line in lines if line.endswith(f"/{leaf}")]
        assert len(inside) == len(group.placement.places), lines
        assert signal_all(group, 9) == 1
        assert KERNEL.wait_pidfd(run.pidfd) == (2, 9)
        run.pid = 0


def test_memory_cpu_and_pids(new_group: NewGroup) -> None:
    group = new_group()
    group.create()
    apply(
        group,
        memory={"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB},
        cpu={"shares": 512, "quota": 50000, "period": 200000},
        pids={"limit": 20},
    )
    assert text(group, "pids", "pids.max") == "20"
    if LAYOUT.mode == "v2":
        assert text(group, "memory", "memory.max") == str(64 * MIB)
        assert text(group, "memory", "memory.low") == str(32 * MIB)
        assert text(group, "cpu", "cpu.weight") == "59"
        assert text(group, "cpu", "cpu.max") == "50000 200000"
    else:
        assert text(group, "memory", "memory.limit_in_bytes") == str(64 * MIB)
        assert text(group, "memory", "memory.memsw.limit_in_bytes") == str(128 * MIB)
        assert text(group, "memory", "memory.soft_limit_in_bytes") == str(32 * MIB)
        assert text(group, "cpu", "cpu.shares") == "512"
        assert text(group, "cpu", "cpu.cfs_quota_us") == "50000"
        assert text(group, "cpu", "cpu.cfs_period_us") == "200000"


@v1_only
def test_memory_grows_and_shrinks(new_group: NewGroup) -> None:
    group = new_group()
    group.create()
    for limit, swap in ((8, 16), (32, 64), (4, 8), (-1, -1), (4, 4)):
        scale = 1 if limit < 0 else MIB
        apply(group, memory={"limit": limit * scale, "swap": swap * scale})
        if limit > 0:
            assert text(group, "memory", "memory.limit_in_bytes") == str(limit * MIB)
            assert text(group, "memory", "memory.memsw.limit_in_bytes") == str(swap * MIB)
    apply(group, memory={"limit": -1})
    assert int(text(group, "memory", "memory.memsw.limit_in_bytes")) > 1 << 60


@v1_only
def test_period_against_the_quota_of_the_moment(new_group: NewGroup) -> None:
    outer = new_group()
    outer.create()
    apply(outer, cpu={"quota": 50000, "period": 100000})
    inner = open_group(
        KERNEL, place(LAYOUT, "/" + "/".join([*outer.placement.places[0].parts, "i"]), "")
    )
    inner.create()
    apply(inner, cpu={"quota": 40000, "period": 100000})
    # 40000 of 50000 would be more than the parent has, 20000 of 50000 is not.
    apply(inner, cpu={"quota": 20000, "period": 50000})
    assert text(inner, "cpu", "cpu.cfs_period_us") == "50000"
    with pytest.raises(StepError, match=r"linux\.resources\.cpu\.quota .* EINVAL: a quota is"):
        apply(inner, cpu={"quota": 90000, "period": 50000})


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"cpu": {"cpus": "900"}}, r"linux\.resources\.cpu\.cpus \(cpuset\.cpus = 900\): E"),
        ({"cpu": {"quota": 5}}, r"linux\.resources\.cpu\.quota .*at least 1000 us"),
        ({"pids": {"limit": 1 << 62}}, r"linux\.resources\.pids\.limit \(pids\.max = 46116860"),
        pytest.param(
            {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
            r"linux\.resources\.hugepageLimits\[0\] .*ENOENT: this kernel, or this cgroup, has no",
            marks=pytest.mark.skipif(not LAYOUT.find("hugetlb"), reason="no hugetlb controller"),
        ),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 1, "rate": 1}]}},
            r"linux\.resources\.blockIO\.throttleReadBpsDevice\[0\] .*ENODEV: no such device",
        ),
    ],
)
def test_what_the_kernel_refuses(
    new_group: NewGroup, resources: dict[str, Any], words: str
) -> None:
    group = new_group()
    group.create()
    with pytest.raises(StepError, match=words):
        apply(group, **resources)


@v1_only
def test_devices(new_group: NewGroup) -> None:
    group = new_group()
    group.create()
    rules: list[dict[str, object]] = [{"allow": False, "access": "rwm"}]
    group.apply_devices([*rules, {"allow": True, "type": "c", "major": 10, "minor": 229}])
    listed = text(group, "devices", "devices.list").split("\n")
    assert {"c 1:3 rwm", "c 136:* rwm", "c *:* m", "b *:* m", "c 10:229 rwm"} <= set(listed)
    assert "a *:* rwm" not in listed
    # A second list replaces the first one, children or not.
    file(group, "devices", "child").mkdir()
    group.apply_devices(rules)
    assert "c 10:229 rwm" not in text(group, "devices", "devices.list").split("\n")
    with pytest.raises(StepError, match="only without child cgroups"):
        group.apply_devices([{"allow": True, "access": "rwm"}])


def test_devices_by_program(
    new_group: NewGroup, sandbox: Sandbox, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """The v2 way works on the unified hierarchy of a hybrid host as well."""
    if LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    group = new_group(layout=Layout("v2", [LAYOUT.unified]))
    group.create()
    fuse: dict[str, object] = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
    group.apply_devices([{"allow": False, "access": "rwm"}, fuse])
    node = sandbox.tmp / "kmsg"
    script = f"""
        read go
        check() {{ if eval "$2" 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }}
        check null '( : </dev/null >/dev/null )'
        check mknod 'mknod {node} c 1 11'
        check read '( : <{node} )'
        check write '( : >>{node} )'
        check disk 'mknod {node}2 c 4 64 && ( : <{node}2 )'
        rm -f {node} {node}2
    """
    process = subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    group.join(process.pid)
    output, _ = process.communicate("\n", timeout=TIMEOUT)
    assert output.split("\n")[:5] == ["null yes", "mknod yes", "read yes", "write no", "disk no"]


def test_a_new_list_of_devices_replaces_the_program(new_group: NewGroup, sandbox: Sandbox) -> None:
    """And that of somebody else, systemd's for instance, stays: all have to agree."""
    if LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    group = new_group(layout=Layout("v2", [LAYOUT.unified]))
    group.create()
    directory = group.directory(group.placement.places[0])
    deny: dict[str, object] = {"allow": False, "access": "rwm"}
    kmsg: dict[str, object] = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
    node = sandbox.tmp / "kmsg"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 11))

    def allowed() -> bool:
        script = 'echo 0 >"$0/cgroup.procs" && : <"$1"'
        path = group.placement.places[0].directory
        command = ["sh", "-c", script, path, str(node)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    for rules in ([deny], [deny, kmsg], [deny], [deny, kmsg]):
        group.apply_devices(rules)
        assert allowed() == (kmsg in rules)
    name, bpf.NAME = bpf.NAME, b"somebody_else\0\0\0"
    try:
        bpf.attach(KERNEL, directory, bpf.program(rules_of([deny])))
    finally:
        bpf.NAME = name
    group.apply_devices([deny, kmsg])
    assert not allowed()
    node.unlink()


def test_freeze_signal_thaw(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    group = new_group()
    group.create()
    process = sleeper()
    group.join(process.pid)
    assert not group.frozen()
    if not group.freeze():
        pytest.skip("needs a freezer")
    assert group.frozen()
    assert signal_all(group, 15) == 1
    assert group.frozen()
    if LAYOUT.mode != "v2":  # where a signal that kills gets through to the frozen
        time.sleep(0.05)
        assert process.poll() is None
    group.thaw()
    assert process.wait(TIMEOUT) == -15
    assert not group.frozen()


@pytest.mark.parametrize("number", [15, 9])
def test_more_processes_than_open_files(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]], number: int
) -> None:
    group = new_group()
    group.create()
    processes = [sleeper() for _ in range(40)]
    for process in processes:
        group.join(process.pid)
    group.all_procs()  # what it opens once is open
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = len(os.listdir("/proc/self/fd")) + 15
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    try:
        assert signal_all(group, number) == len(processes)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert {process.wait(TIMEOUT) for process in processes} == {-number}


def test_kill_reaches_a_frozen_cgroup(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    group = new_group()
    group.create()
    process = sleeper()
    group.join(process.pid)
    if not group.freeze():
        pytest.skip("needs a freezer")
    assert signal_all(group, 9) == 1
    assert process.wait(TIMEOUT) == -9


def test_no_fork_escapes(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    group = new_group()
    group.create()
    process = sleeper("sh", "-c", "read go; while :; do sleep 50 & sleep 0.002; done")
    group.join(process.pid)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    deadline = time.monotonic() + TIMEOUT
    while len(group.all_procs()) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Some may have ended between the two looks.
    assert signal_all(group, 9) >= 10
    process.wait(TIMEOUT)
    group.remove(TIMEOUT)


def test_removal_with_nested_cgroups_and_processes(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    group = new_group()
    group.create()
    place_ = group.placement.find("freezer") or group.placement.places[-1]
    nested = Path(place_.directory, "a/b/c")
    nested.mkdir(parents=True)
    process = sleeper()
    (nested / "cgroup.procs").write_text(str(process.pid))
    assert group.all_procs() == [process.pid]
    with pytest.raises(StepError, match=r"EBUSY: processes are in it still after 0\.05 s; kill"):
        group.remove(0.05)
    assert process.poll() is None
    group.remove(5.0, kill=True)
    assert process.wait(TIMEOUT) == -9
    assert not Path(place_.directory).exists()


def test_an_occupied_cgroup_is_refused(
    new_group: NewGroup, sleeper: Callable[..., subprocess.Popen[bytes]]
) -> None:
    first = new_group()
    first.create()
    process = sleeper()
    first.join(process.pid)
    second = open_group(KERNEL, Placement.from_state(first.placement.as_dict()))
    for item in second.placement.places:
        item.existing = -1
    with pytest.raises(StepError, match=r"it is not empty, 1 process\(es\) are in it"):
        second.create()
    second.remove(0.05, kill=True)
    assert process.poll() is None
    assert first.all_procs() == [process.pid]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a\nb", "EINVAL: the kernel does not take this name; choose another"),
        ("/cgroup.procs", "ENOTDIR: a file has this name; choose another"),
    ],
)
def test_a_name_that_the_kernel_refuses(new_group: NewGroup, path: str, words: str) -> None:
    with pytest.raises(StepError, match=words):
        new_group(path).create()


@v2_only
def test_v2_hands_controllers_down(new_group: NewGroup) -> None:
    group = new_group("/leaf")
    group.create()
    available = text(group, "", "cgroup.controllers").split()
    assert {"memory", "pids", "cpu"} <= set(available)
    assert text(group, "", "cgroup.subtree_control") == ""
