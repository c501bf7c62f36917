"""Containers in their cgroups: what is limited, what they see, what is left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
IS_V2 = LAYOUT.mode == "v2"
TINY = 512 * 1024
OPTIONS = ["nosuid", "noexec", "nodev", "relatime"]
NO_NAMESPACE = pytest.mark.parametrize("namespace", [True, False], ids=["namespace", "bind"])


def limits(bundle: Bundle, **resources: Any) -> Bundle:
    return bundle.set("/linux/resources", resources)


def with_user_namespace(bundle: Bundle) -> Bundle:
    bundle.add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        bundle.set(f"/linux/{kind}", [{"containerID": 0, "hostID": 100000, "size": 65536}])
    bundle.rootfs.chmod(0o755)
    return bundle


def test_tiny_memory(runtime: Runtime, bundle: MakeBundle) -> None:
    runtime.run(limits(bundle(args=["/bin/true"]), memory={"limit": TINY})).check()


def test_less_memory_than_anything_needs(runtime: Runtime, bundle: MakeBundle) -> None:
    """v1 refuses such a limit, v2 takes it and kills."""
    result = runtime.create(limits(bundle(args=["true"]), memory={"limit": 4096, "swap": 4096}))
    words = ("OOM-killed", "memory limit too low?") if IS_V2 else ("EBUSY", "memory.limit_in_bytes")
    assert_clear(runtime, result, *words, "raise")


def test_one_process(runtime: Runtime, bundle: MakeBundle) -> None:
    runtime.run(limits(bundle(args=["/bin/true"]), pids={"limit": 1})).check()
    made = limits(bundle(), pids={"limit": 1})
    result = runtime.run(made.shell("sh -c 'sh -c true; true' || echo refused"))
    assert "fork" in result.stderr


@pytest.mark.parametrize(
    ("version", "pids", "wanted"),
    [("1.2.0", {"limit": 0}, "max"), ("1.3.0", {"limit": 0}, "0"), ("1.3.0", {}, "max")],
)
def test_no_pids(
    runtime: Runtime, bundle: MakeBundle, version: str, pids: dict[str, int], wanted: str
) -> None:
    """podman up to 5.4 writes 0 for "unlimited"."""
    made = limits(bundle(args=["sleep", "100"]), pids=pids).set("/ociVersion", version)
    runtime.up(made)
    place = LAYOUT.find("pids")
    assert place is not None
    own = Path(place.mountpoint + made.config["linux"]["cgroupsPath"])
    assert (own / "pids.max").read_text().strip() == wanted
    result = runtime.call("update", "--pids-limit", "5", runtime.created[0])
    assert result.ok
    assert (own / "pids.max").read_text() == "5\n"


@pytest.mark.parametrize(
    ("cpus", "wanted"), [("0-0:1/4", "0"), ("ALL", ""), ("0,N", ""), ("all:1/2", "")]
)
def test_lists_of_cpus(runtime: Runtime, bundle: MakeBundle, cpus: str, wanted: str) -> None:
    place = LAYOUT.find("cpuset")
    if place is None:
        pytest.skip("needs the controller cpuset")
    made = limits(bundle(args=["sleep", "100"]), cpu={"cpus": cpus})
    runtime.up(made)
    own = Path(place.mountpoint + made.config["linux"]["cgroupsPath"])
    found = (own / "cpuset.cpus").read_text().strip()
    assert found == wanted or (not wanted and found.startswith("0"))


@NO_NAMESPACE
def test_limits_as_the_container_sees_them(
    runtime: Runtime, bundle: MakeBundle, namespace: bool
) -> None:
    made = limits(bundle(), memory={"limit": 1 << 25}, cpu={"shares": 512}, pids={"limit": 33})
    if not namespace:
        made.drop_namespace("cgroup")
    names, own = ["memory.max", "cpu.weight", "pids.max"], "/sys/fs/cgroup"
    if not IS_V2:
        names = ["memory/memory.limit_in_bytes", "cpu/cpu.shares", "pids/pids.max"]
    elif not namespace:
        own += "$(sed 's/^0:://' /proc/self/cgroup)"
    seen = runtime.run_output(made, "cat " + " ".join(f"{own}/{x}" for x in names))
    assert seen.split() == [str(1 << 25), "59" if IS_V2 else "512", "33"]


@NO_NAMESPACE
@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_read_only_means_all_of_it(
    runtime: Runtime, bundle: MakeBundle, namespace: bool, mode: str
) -> None:
    made = bundle()
    made.mount("/sys/fs/cgroup")["options"] = [*OPTIONS, mode]
    if not namespace:
        made.drop_namespace("cgroup")
    # On v1 hierarchies lie below; on v2 the host's cgroups do, where its whole tree is shown.
    depth = 0 if IS_V2 else 1
    script = f"""
        for dir in $(find /sys/fs/cgroup -maxdepth {depth} -type d); do
          mkdir $dir/probe 2>/dev/null && echo made && rmdir $dir/probe
        done
        awk '$5 ~ "^/sys/fs/cgroup" {{ print $6 }}' /proc/self/mountinfo
    """
    lines = runtime.run_output(made, script).split()
    options = [line for line in lines if line != "made"]
    shown = 1 if IS_V2 else sum(1 for item in LAYOUT.hierarchies if item.key)
    assert len(options) == (1 if IS_V2 else shown + 1)
    assert all({"nosuid", "nodev", "noexec"} <= set(line.split(",")) for line in options)
    modes = [line.split(",")[0] for line in options]
    # The tmpfs that v1's hierarchies are in stays writable, as with runc and crun.
    assert modes.count(mode) >= shown
    assert "rw" in modes or IS_V2
    assert lines.count("made") == modes.count("rw")


def test_no_unified_hierarchy_beside_v1(runtime: Runtime, bundle: MakeBundle) -> None:
    """An init system inside takes a hybrid layout for its own, which it cannot have."""
    if LAYOUT.mode != "hybrid":
        pytest.skip("needs a hybrid host")
    seen = runtime.run_output(bundle(), "grep -c cgroup2 /proc/self/mountinfo; ls /sys/fs/cgroup")
    assert seen.split()[0] == "0"
    assert "unified" not in seen


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_the_host_s_tree_without_a_cgroup_namespace(
    runtime: Runtime, bundle: MakeBundle, mode: str
) -> None:
    """What /proc/self/cgroup names is there."""
    if LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    made = bundle().drop_namespace("cgroup")
    made.mount("/sys/fs/cgroup").update(type="cgroup2", options=[*OPTIONS, mode])
    script = """
        own=$(sed -n 's/^0:://p' /proc/self/cgroup)
        grep -qx 1 /sys/fs/cgroup$own/cgroup.procs && echo found
        mkdir /sys/fs/cgroup$own/probe && echo made && rmdir /sys/fs/cgroup$own/probe
    """
    seen = runtime.run(made.shell(script)).stdout.split()
    assert seen == ["found"] + ["made"] * (mode == "rw")


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_cgroups_of_the_host_in_a_user_namespace(
    runtime: Runtime, bundle: MakeBundle, kind: str
) -> None:
    """Nothing new can be mounted there without a cgroup namespace of its own: they are bound."""
    if kind == "cgroup2" and LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    made = with_user_namespace(bundle()).drop_namespace("cgroup")
    made.mount("/sys/fs/cgroup")["type"] = kind
    own = "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)"
    where = own if IS_V2 or kind == "cgroup2" else "/sys/fs/cgroup/pids"
    assert runtime.run_output(made, f"cat {where}/cgroup.procs").split()[0] == "1"


@NO_NAMESPACE
def test_nothing_of_the_host_is_in_sight(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, namespace: bool
) -> None:
    made = bundle()
    if not namespace:
        if IS_V2:
            pytest.skip("without a cgroup namespace v2 shows the host's tree")
        made.drop_namespace("cgroup")
    script = "find /sys/fs/cgroup -name 'ocirt*'; cat $(find /sys/fs/cgroup -name cgroup.procs)"
    lines = runtime.run_output(made, script).split()
    assert [line for line in lines if "ocirt" in line] == []
    # Only the container's own processes, by its own numbers.
    assert lines
    assert max(map(int, lines)) < 100


def test_cgroup2_alone(runtime: Runtime, bundle: MakeBundle) -> None:
    if LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    made = bundle()
    made.mount("/sys/fs/cgroup")["type"] = "cgroup2"
    assert runtime.run_output(made, "cat /sys/fs/cgroup/cgroup.type").split() == ["domain"]


def test_a_user_namespace_can_mount_its_cgroups(runtime: Runtime, bundle: MakeBundle) -> None:
    made = with_user_namespace(bundle())
    names = "cgroup.procs" if IS_V2 else "pids/cgroup.procs"
    assert runtime.run_output(made, f"cat /sys/fs/cgroup/{names}").split()[0] == "1"


@pytest.mark.parametrize("path", ["/ocirt-test/{}/deep/er", "{}/relative", None])
def test_every_kind_of_path(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, path: str | None
) -> None:
    made = bundle(args=["sleep", "100"])
    made.remove("/linux/cgroupsPath")
    if path is not None:
        made.set("/linux/cgroupsPath", path.format(made.name))
    container = runtime.up(made)
    wanted = f"ociruntime-{container}" if path is None else path.format(made.name)
    mine = Path(f"/proc/{runtime.pid(container)}/cgroup").read_text().splitlines()
    inside = [line for line in mine if line.endswith(wanted)]
    assert len(inside) == len(LAYOUT.hierarchies)
    runtime.delete(container, "--force").check()
    assert sandbox.cgroups() == []


def test_an_existing_cgroup_with_children_is_used_and_stays(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """What buildah's --cgroup-parent leads to."""
    made = bundle(args=["sleep", "100"])
    path = made.config["linux"]["cgroupsPath"]
    memory = LAYOUT.find("memory")
    assert memory is not None
    own = Path(memory.mountpoint + path)
    (own / "child").mkdir(parents=True)
    container = runtime.up(made)
    runtime.delete(container, "--force").check()
    assert (own / "child").is_dir()
    (own / "child").rmdir()
    own.rmdir()


def test_a_new_user_namespace_in_a_cgroup_of_another_user(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    """Who makes the user namespace has no power over the cgroup's files any more."""
    if LAYOUT.unified is None:
        pytest.skip("needs a unified hierarchy")
    made = with_user_namespace(bundle(args=["sleep", "100"]))
    path = made.config["linux"]["cgroupsPath"]
    own = Path(LAYOUT.unified.mountpoint + path)
    own.mkdir(parents=True)
    os.chown(own / "cgroup.procs", 100000, -1)
    container = runtime.up(made)
    pid = runtime.pid(container)
    assert f"0::{path}" in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    runtime.delete(container, "--force").check()
    own.rmdir()


def test_an_occupied_cgroup_is_refused(runtime: Runtime, bundle: MakeBundle) -> None:
    first, second = bundle(args=["sleep", "100"]), bundle(args=["sleep", "100"])
    second.set("/linux/cgroupsPath", first.config["linux"]["cgroupsPath"])
    container = runtime.up(first)
    refused = runtime.create(second)
    assert not refused.ok
    assert "not empty" in refused.stderr
    runtime.failed.clear()
    assert runtime.status(container) == "running"


@pytest.mark.parametrize("depth", [0, 1], ids=["itself", "above"])
@pytest.mark.parametrize(
    ("controller", "file", "values"),
    [
        ("freezer", "freezer.state", ("FROZEN", "THAWED")),
        ("", "cgroup.freeze", ("1", "0")),
    ],
    ids=["v1", "unified"],
)
def test_a_frozen_cgroup_is_refused(
    runtime: Runtime,
    bundle: MakeBundle,
    depth: int,
    controller: str,
    file: str,
    values: tuple[str, str],
) -> None:
    """On a hybrid host a process in a frozen unified cgroup stands as still as in a v1 one."""
    hierarchy = LAYOUT.find(controller) if controller else LAYOUT.unified
    if hierarchy is None:
        pytest.skip("this host has no such freezer")
    made = bundle(args=["sleep", "100"])
    path = made.config["linux"]["cgroupsPath"]
    frozen = Path(hierarchy.mountpoint + path)
    frozen.mkdir(parents=True)
    (frozen / file).write_text(values[0])
    made.set("/linux/cgroupsPath", path + "/below" * depth)
    try:
        result = runtime.create(made)
    finally:
        (frozen / file).write_text(values[1])
        frozen.rmdir()
    assert_clear(runtime, result, path, "frozen", "choose another linux.cgroupsPath")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"cpu": {"cpus": "900"}}, "cpuset.cpus = 900"),
        ({"pids": {"limit": 1 << 62}}, "pids.max = 46116860"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "hugepageLimits[0]"),
        ({"unified": {"no.such": "1"}}, "linux.resources.unified"),
    ],
)
def test_a_refused_limit_leaves_nothing(
    runtime: Runtime, bundle: MakeBundle, resources: dict[str, Any], words: str
) -> None:
    result = runtime.create(limits(bundle(args=["/bin/true"]), **resources))
    assert not result.ok
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_devices(runtime: Runtime, bundle: MakeBundle) -> None:
    script = """
        for spec in "1 3" "1 5" "1 11" "10 237"; do
          mknod /tmp/node c $spec && ( : < /tmp/node ) 2>/dev/null && echo "$spec"
          rm -f /tmp/node
        done; true
    """
    made = bundle()
    (made.rootfs / "tmp").mkdir(exist_ok=True)
    kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rm"}
    limits(made, devices=[{"allow": False, "access": "rwm"}, kmsg])
    made.add_capabilities("CAP_SYSLOG")
    assert runtime.run_output(made, script).split("\n")[:-1] == ["1 3", "1 5", "1 11"]


def test_denied_behind_allow_all(runtime: Runtime, bundle: MakeBundle) -> None:
    """Making the node, too, as with runc and crun; a default by its own numbers stays allowed."""
    script = """
        for spec in "b 7 1" "b 8 1" "c 1 3" "c 1 11"; do
          mknod /node $spec 2>/dev/null && echo "$spec"
          rm -f /node
        done; true
    """
    denied = [
        {"allow": False, "type": "b", "major": 7, "access": "m"},
        {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
    ]
    made = limits(bundle(), devices=[{"allow": True, "access": "rwm"}, *denied])
    assert runtime.run_output(made, script).splitlines() == ["b 8 1", "c 1 3"]


def test_every_process_is_inside_from_the_start(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    pid = runtime.pid(container)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert all("/ocirt-test/" in line for line in lines if line.split(":")[1] in _keys())
    state = json.loads((runtime.root / container / "state.json").read_text())
    assert set(state["cgroup"]["paths"]) == _keys()


def _keys() -> set[str]:
    return {item.key for item in LAYOUT.hierarchies}
