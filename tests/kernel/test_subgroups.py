"""Cgroups that annotations of crun's ask for: the container's below its systemd unit's
(run.oci.systemd.subgroup), and one below the container's for its processes
(run.oci.delegate-cgroup); what crun(1) says of them.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.criu import checkpoint, count, criu, restore
from tests.support.runtime import TIMEOUT, Runtime
from tests.support.unified import unified_runtime
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
V2 = LAYOUT.mode == "v2"
LIMITED = V2 and LAYOUT.find("memory") is not None
SYSTEMD = Path("/run/systemd/system").is_dir() and Path("/run/dbus/system_bus_socket").exists()
SUBGROUP, DELEGATED = "run.oci.systemd.subgroup", "run.oci.delegate-cgroup"
FIRST = 100000
DRIVERS = [
    "cgroupfs",
    pytest.param(
        "systemd", marks=pytest.mark.skipif(not SYSTEMD, reason="systemd does not run here")
    ),
]
pytestmark = pytest.mark.skipif(LAYOUT.unified is None, reason="needs a unified hierarchy")


@pytest.fixture(params=DRIVERS)
def host(
    request: pytest.FixtureRequest, runtime_binary: Path, sandbox: Sandbox, runtime: Runtime
) -> Iterator[Runtime]:
    """The runtime on a host with nothing but cgroup v2, with each driver."""
    if not runtime.is_ours:
        pytest.skip("of the others crun alone has these annotations")
    if V2:
        if request.param == "systemd":
            runtime.global_options = ("--systemd-cgroup",)
        yield runtime
        return
    if request.param == "systemd":
        pytest.skip("systemd's cgroups are not v2 here")
    made = unified_runtime(runtime_binary, sandbox)
    yield made
    assert not made.remove_all()


def asking(host: Runtime, made: Bundle, **annotations: str) -> Bundle:
    """The bundle with annotations, and with a path that the driver understands."""
    names = {"subgroup": SUBGROUP, "delegated": DELEGATED}
    made.set("/annotations", {names[name]: value for name, value in annotations.items()})
    if host.global_options:
        made.set("/linux/cgroupsPath", f"system.slice:t:{made.name}")
    return made


def top(host: Runtime, made: Bundle) -> str:
    """The path of the cgroup that cgroupsPath stands for."""
    if host.global_options:
        return f"/system.slice/t-{made.name}.scope"
    return str(made.config["linux"]["cgroupsPath"])


def path_of(pid: int) -> str:
    """The cgroup of a process in the unified hierarchy, as the host sees it."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    raise AssertionError("no unified hierarchy")


def directory(path: str) -> Path:
    assert LAYOUT.unified is not None
    return Path(LAYOUT.unified.mountpoint + path)


def inside(host: Runtime, container: str, file: str = "/proc/self/cgroup") -> str:
    """What a process that `exec` starts is told of its cgroup, or of another's."""
    shown = host.exec(container, "cat", file).check().stdout
    return next(line[3:] for line in shown.splitlines() if line.startswith("0::"))


@pytest.mark.parametrize(
    ("annotations", "below", "seen"),
    [
        ({"delegated": "own"}, "/own", "/own"),
        ({"delegated": "/own/deep/"}, "/own/deep", "/own/deep"),
        ({"delegated": "own", "subgroup": "sub"}, "/sub/own", "/own"),
        ({"subgroup": "sub/deep"}, "/sub/deep", "/"),
        ({"delegated": "", "subgroup": ""}, "", "/"),
        ({"delegated": "/", "subgroup": "/"}, "", "/"),
    ],
)
def test_where_it_is(
    host: Runtime,
    bundle: MakeBundle,
    sandbox: Sandbox,
    annotations: dict[str, str],
    below: str,
    seen: str,
) -> None:
    """The root of the cgroup namespace is the container's cgroup, which has the limits; `exec`
    goes where the first process is; `delete` removes all.
    """
    if not host.global_options:
        below = below.removeprefix("/sub/deep").removeprefix("/sub")
    made = asking(host, bundle(["sleep", "1000"]), **annotations)
    made.set("/linux/resources", {"pids": {"limit": 50}} if LIMITED else {})
    container = host.up(made)
    path = path_of(host.pid(container))
    assert path == top(host, made) + below
    assert inside(host, container, "/proc/1/cgroup") == seen
    assert inside(host, container) == seen
    own = directory(path.removesuffix(seen) if seen != "/" else path)
    if LIMITED:
        assert (own / "pids.max").read_text() == "50\n"
        if seen != "/":
            assert (directory(path) / "pids.max").read_text() == "max\n"
            assert "pids" in (own / "cgroup.subtree_control").read_text().split()
        host.call("update", "--pids-limit", "44", container).check()
        limited = [own, *([directory(top(host, made))] if host.global_options else [])]
        assert {(each / "pids.max").read_text() for each in limited} == {"44\n"}
    host.delete(container, "--force").check()
    assert not directory(top(host, made)).exists()
    assert sandbox.cgroups() == []


def test_the_other_commands(host: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Each reaches what is in the delegated cgroup, and in one that the container makes."""
    script = """
        cd /sys/fs/cgroup/own && mkdir mine && echo 0 >mine/cgroup.procs
        sleep 1000 & exec sleep 999
    """
    made = asking(host, bundle().shell(script), subgroup="sub", delegated="own")
    made.mount("/sys/fs/cgroup")["options"] = ["rw", "nosuid", "noexec", "nodev"]
    container = host.up(made)
    deadline = time.monotonic() + TIMEOUT
    while len(host.ps(container, "--format", "json").check().json()) != 2:
        assert time.monotonic() < deadline
    assert inside(host, container) == "/own/mine"
    host.call("pause", container).check()
    assert host.status(container) == "paused"
    host.call("resume", container).check()
    assert host.call("events", "--stats", container).check().json()["type"] == "stats"
    host.call("kill", "--all", container, "KILL").check()
    host.wait_for(container, "stopped")
    host.delete(container).check()
    assert sandbox.cgroups() == []


@pytest.mark.parametrize("writable", [True, False])
def test_whose_it_is(host: Runtime, bundle: MakeBundle, writable: bool) -> None:
    """Given away as, and with, the container's own (config-linux.md, "Cgroup ownership")."""
    made = asking(host, bundle(["sleep", "100"]), subgroup="sub", delegated="own/deep")
    made.add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": FIRST, "size": 65536}])
    options = ["rw" if writable else "ro", "nosuid", "noexec", "nodev"]
    made.mount("/sys/fs/cgroup")["options"] = options
    made.rootfs.chmod(0o755)
    container = host.up(made)
    deep = directory(path_of(host.pid(container)))
    assert deep.parts[-2:] == ("own", "deep")
    levels = (deep, deep.parent, deep.parents[1])
    owners = {path.stat().st_uid for level in levels for path in (level, level / "cgroup.procs")}
    assert owners == {FIRST if writable else 0}
    assert deep.parents[2].stat().st_uid == 0
    assert (deep / "cgroup.max.depth").stat().st_uid == 0
    assert inside(host, container) == "/own/deep"


def test_without_a_cgroup_namespace(host: Runtime, bundle: MakeBundle) -> None:
    made = asking(host, bundle(["sleep", "100"]), delegated="own").drop_namespace("cgroup")
    container = host.up(made)
    path = path_of(host.pid(container))
    assert path == f"{top(host, made)}/own"
    assert inside(host, container) == path


@pytest.mark.parametrize("name", ["subgroup", "delegated"])
def test_a_path_that_leads_out(host: Runtime, bundle: MakeBundle, name: str) -> None:
    if name == "subgroup" and not host.global_options:
        pytest.skip("of systemd's driver only")
    made = asking(host, bundle(), **{name: "../own"})
    assert_clear(host, host.create(made), "..", "../own")


def test_a_name_that_is_taken(host: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """By a file of the cgroup: refused by name, and nothing is left."""
    made = asking(host, bundle(), delegated="cgroup.procs")
    assert_clear(host, host.create(made), "cgroup.procs", "run.oci.delegate-cgroup")
    assert sandbox.cgroups() == []


def test_a_cgroup_that_was_there(host: Runtime, bundle: MakeBundle) -> None:
    """It could have no processes any more when the container is gone."""
    if host.global_options:
        pytest.skip("a unit is always the container's own")
    made = asking(host, bundle(), delegated="own")
    there = directory(top(host, made))
    there.mkdir(parents=True)
    try:
        result = host.create(made)
        assert_clear(host, result, str(made.config["linux"]["cgroupsPath"]), DELEGATED)
        assert [path.name for path in there.iterdir() if path.is_dir()] == []
    finally:
        there.rmdir()


def test_plan(host: Runtime, bundle: MakeBundle) -> None:
    made = asking(host, bundle(), subgroup="sub", delegated="own/deep").write()
    shown = host.call("plan", "--bundle", str(made.path)).check().stdout
    shown = " ".join(shown.split())
    assert "move the process into own/deep below the container's cgroup" in shown
    if host.global_options:
        assert "with the cgroup sub in it" in shown


@pytest.mark.skipif(V2, reason="needs cgroup v1")
def test_on_v1(runtime: Runtime, bundle: MakeBundle) -> None:
    """As crun: a container can be given no cgroup there."""
    made = bundle().set("/annotations", {DELEGATED: "own"})
    assert_clear(runtime, runtime.create(made), DELEGATED, "cgroup v2")
    made.set("/annotations", {DELEGATED: ""})
    runtime.up(made)


@pytest.mark.skipif(V2 or not SYSTEMD, reason="needs systemd on cgroup v1")
def test_subgroup_on_v1(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """In each hierarchy, with the limits."""
    runtime.global_options = ("--systemd-cgroup",)
    made = asking(runtime, bundle(["sleep", "1000"]), subgroup="sub")
    made.set("/linux/resources", {"pids": {"limit": 50}})
    container = runtime.up(made)
    found = Path(f"/proc/{runtime.pid(container)}/cgroup").read_text().splitlines()
    assert {line.split(":", 2)[2] for line in found} == {f"{top(runtime, made)}/sub"}
    pids = LAYOUT.find("pids")
    assert pids is not None
    unit = Path(pids.mountpoint + top(runtime, made))
    assert {(unit / name / "pids.max").read_text() for name in (".", "sub")} == {"50\n"}
    runtime.call("update", "--pids-limit", "44", container).check()
    assert {(unit / name / "pids.max").read_text() for name in (".", "sub")} == {"44\n"}
    runtime.delete(container, "--force").check()
    assert sandbox.cgroups() == []


@pytest.mark.skipif(not V2 or not SYSTEMD, reason="needs systemd on cgroup v2")
def test_after_a_reload(runtime: Runtime, bundle: MakeBundle) -> None:
    """systemd writes its own files again, and leaves those below alone."""
    runtime.global_options = ("--systemd-cgroup",)
    made = asking(runtime, bundle(["sleep", "1000"]), subgroup="sub", delegated="own")
    if LIMITED:
        made.set("/linux/resources", {"cpu": {"quota": 33_333, "period": 100_000}})
    container = runtime.up(made)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    own = directory(path_of(runtime.pid(container))).parent
    if LIMITED:
        assert (own / "cpu.max").read_text() == "33333 100000\n"
        assert "cpu" in (own.parent / "cgroup.subtree_control").read_text().split()
    assert inside(runtime, container) == "/own"


def test_checkpoint(host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox) -> None:
    """Restored, it is where it was, with its limits."""
    host.global_options = (*host.global_options, "--criu", str(criu()))
    made = asking(host, counter, subgroup="sub", delegated="own")
    if "--systemd-cgroup" in host.global_options:
        made.set("/linux/cgroupsPath", f"system.slice:t:{made.name}")
    if LIMITED:
        made.set("/linux/resources", {"pids": {"limit": 50}})
    container = host.up(made)
    path = path_of(host.pid(container))
    reached = count(host, container, 1)
    checkpoint(host, container, images).check()
    assert sandbox.cgroups() == []
    again = restore(host, made, images).check().container
    count(host, again, reached)
    assert path_of(host.pid(again)) == path
    assert inside(host, again, "/proc/1/cgroup") == inside(host, again) == "/own"
    if LIMITED:
        assert (directory(path).parent / "pids.max").read_text() == "50\n"
        assert (directory(path) / "pids.max").read_text() == "max\n"
    host.delete(again, "--force").check()
    assert sandbox.cgroups() == []


def test_it_is_in_the_state(host: Runtime, bundle: MakeBundle) -> None:
    """Annotations are shown as any other."""
    made = asking(host, bundle(["sleep", "100"]), delegated="own")
    state = json.loads(host.state(host.up(made)).check().stdout)
    assert state["annotations"] == {DELEGATED: "own"}
