"""Who owns the container's cgroup: what a writable mount in a cgroup namespace gives away, and what
not (config-linux.md, "Cgroup ownership").
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT
from tests.support.unified import unified_runtime

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
FIRST = 100000
pytestmark = pytest.mark.skipif(LAYOUT.unified is None, reason="needs a unified hierarchy")


@pytest.fixture
def host(runtime_binary: Path, sandbox: Sandbox, runtime: Runtime) -> Iterator[Runtime]:
    """The runtime on a host with nothing but cgroup v2."""
    if LAYOUT.mode == "v2":
        yield runtime
        return
    made = unified_runtime(runtime_binary, sandbox)
    yield made
    assert not made.remove_all()


def delegated(bundle: Bundle) -> Bundle:
    """A bundle that asks for all that is needed."""
    bundle.add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        bundle.set(f"/linux/{kind}", [{"containerID": 0, "hostID": FIRST, "size": 65536}])
    bundle.mount("/sys/fs/cgroup")["options"] = ["rw", "nosuid", "noexec", "nodev"]
    bundle.rootfs.chmod(0o755)
    return bundle


def owners(bundle: Bundle) -> dict[str, int]:
    """Owner by file of the container's cgroup, "" for the directory itself."""
    assert LAYOUT.unified is not None
    path = Path(LAYOUT.unified.mountpoint + bundle.config["linux"]["cgroupsPath"])
    found = {entry.name: entry.stat().st_uid for entry in path.iterdir() if entry.is_file()}
    return {"": path.stat().st_uid, **found}


@pytest.mark.parametrize("uid", [0, 7])
def test_exactly_what_the_kernel_lists(host: Runtime, bundle: MakeBundle, uid: int) -> None:
    made = delegated(bundle(args=["sleep", "100"]))
    made.set("/process/user", {"uid": uid, "gid": 0})
    host.create(made).check()
    listed = Path("/sys/kernel/cgroup/delegate").read_text().split()
    found = owners(made)
    given = {name for name, owner in found.items() if owner == FIRST + uid}
    assert given == {"", *listed} & set(found)
    assert {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} <= given
    assert all(owner in (0, FIRST + uid) for owner in found.values())


def test_the_container_can_make_cgroups_and_its_limits_stay(
    host: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    script = """
        cd /sys/fs/cgroup
        mkdir mine mine/deep && echo 0 >mine/cgroup.procs && cat mine/cgroup.procs | head -n 1
        (echo 1 >cgroup.freeze) 2>/dev/null && echo froze
        (echo 1 >cgroup.max.depth) 2>/dev/null && echo limited
        true
    """
    assert host.run_output(delegated(bundle()), script).split() == ["1"]
    assert sandbox.cgroups() == []


def execute(host: Runtime, container: str, script: str) -> list[str]:
    """What the script said, whose cgroup comes first."""
    script = f"cat /proc/self/cgroup; {script}"
    return host.exec(container, "sh", "-c", script).check().stdout.splitlines()


@pytest.mark.parametrize("place", ["own", "below", "chosen"])
def test_exec(host: Runtime, bundle: MakeBundle, place: str) -> None:
    """Into a cgroup that belongs to the container: root of the host may, its namespace may not."""
    script = "mkdir /sys/fs/cgroup/mine; exec sleep 100"
    if place == "below":
        script = (
            "mkdir /sys/fs/cgroup/mine; echo 0 >/sys/fs/cgroup/mine/cgroup.procs; exec sleep 99"
        )
    container = host.up(delegated(bundle()).shell(script))
    assert LAYOUT.unified is not None
    parent = Path(LAYOUT.unified.mountpoint, "ocirt-test")
    deadline = time.monotonic() + TIMEOUT
    while not list(parent.glob(f"{host.sandbox.prefix}*/mine")) and time.monotonic() < deadline:
        time.sleep(0.01)
    if place == "chosen":
        options = ["--cgroup", "mine"]
        said = host.exec(container, "cat", "/proc/self/cgroup", options=options).check().stdout
        assert "0::/mine" in said.splitlines()
        return
    said = execute(host, container, "ls /sys/fs/cgroup/mine/cgroup.procs; id -u")
    # The first process moved without giving controllers away: its cgroup can still be used.
    assert "0::/" in said
    assert said[-1] == "0"


def test_exec_of_another_user(host: Runtime, bundle: MakeBundle) -> None:
    made = delegated(bundle(args=["sleep", "100"])).set("/process/user", {"uid": 7, "gid": 0})
    container = host.up(made)
    assert "0::/" in execute(host, container, "true")


def test_the_other_commands(host: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """With cgroups of the container's own making."""
    script = """
        mkdir /sys/fs/cgroup/mine && echo 0 >/sys/fs/cgroup/mine/cgroup.procs
        sleep 100 & exec sleep 99
    """
    container = host.up(delegated(bundle()).shell(script))
    deadline = time.monotonic() + TIMEOUT
    while len(host.ps(container, "--format", "json").json()) != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(host.ps(container, "--format", "json").check().json()) == 2
    host.call("pause", container).check()
    assert host.status(container) == "paused"
    host.call("resume", container).check()
    assert host.call("events", "--stats", container).check().json()["type"] == "stats"
    host.call("kill", "--all", container, "KILL").check()
    host.wait_for(container, "stopped")
    host.delete(container).check()
    assert sandbox.cgroups() == []


def test_a_time_namespace_beside_it(host: Runtime, bundle: MakeBundle) -> None:
    """Its process is cloned behind the user namespace: the cgroup is given away only then."""
    made = delegated(bundle(args=["sleep", "100"])).add_namespace("time")
    made.set("/linux/timeOffsets", {"boottime": {"secs": 1000}})
    host.create(made).check()
    assert owners(made)["cgroup.procs"] == FIRST


@pytest.mark.parametrize("case", ["read-only", "no namespace", "no mount", "joined"])
def test_nothing_is_given_away_otherwise(host: Runtime, bundle: MakeBundle, case: str) -> None:
    made = delegated(bundle(args=["sleep", "100"]))
    if case == "read-only":
        made.mount("/sys/fs/cgroup")["options"].append("ro")
    elif case == "no namespace":
        made.drop_namespace("cgroup")
    elif case == "no mount":
        made.config["mounts"].remove(made.mount("/sys/fs/cgroup"))
    else:
        made.drop_namespace("cgroup")
        path = f"/proc/{os.getpid()}/ns/cgroup"
        made.config["linux"]["namespaces"].append({"type": "cgroup", "path": path})
    host.create(made).check()
    assert set(owners(made).values()) == {0}


def test_a_user_without_a_user_namespace(host: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    made.mount("/sys/fs/cgroup")["options"] = ["rw"]
    made.set("/process/user", {"uid": 4711, "gid": 0})
    host.create(made).check()
    assert owners(made)["cgroup.procs"] == 4711
    assert owners(made)["cgroup.type"] == 0


@pytest.mark.skipif(LAYOUT.mode == "v2", reason="needs cgroup v1")
def test_on_v1_nothing_is_given_away(runtime: Runtime, bundle: MakeBundle) -> None:
    made = delegated(bundle(args=["sleep", "100"]))
    runtime.create(made).check()
    assert set(owners(made).values()) == {0}
    for hierarchy in LAYOUT.hierarchies:
        path = Path(hierarchy.mountpoint + made.config["linux"]["cgroupsPath"])
        assert path.stat().st_uid == 0
