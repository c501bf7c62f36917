"""config-linux.md: where a container's cgroup is, whose it is, its devices, and `unified`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from conformance.control import place, remove, value
from conformance.registry import check
from conformance.trial import CGROUP_PARENT, Trial

# Flags of the host's mount, which no user namespace can take off one that is bound from it.
LOCKED = ("nosuid", "noexec", "nodev", "relatime")


@check("cgroups.path-absolute", "cgroups.path-created", "cgroups.path-consistent")
def absolute_path(t: Trial) -> None:
    """Uses one absolute cgroupsPath, of two new levels, for two containers after each other."""
    bundle = t.bundle()
    path = f"/{CGROUP_PARENT}/{bundle.path.name}/inner"
    bundle.linux["cgroupsPath"] = path
    seen = []
    for _ in range(2):
        container = t.create(bundle)
        seen.append(place(t, container, "pids"))
        container.delete("--force")
    root = t.host.controller("pids")
    wanted = Path(f"{root}{path}")
    t.expect("cgroups.path-absolute", seen[0] == wanted, f"{path}: {seen[0]}")
    t.expect("cgroups.path-created", seen[0] == wanted, "its two levels were made")
    t.expect("cgroups.path-consistent", seen[0] == seen[1], f"both times {seen[1]}")
    for directory in (wanted, wanted.parent):
        for hierarchy in {root, *Path("/sys/fs/cgroup").iterdir()}:
            empty = Path(str(directory).replace(str(root), str(hierarchy), 1))
            if empty.is_dir():
                t.closers.append(partial(remove, empty))


@check("cgroups.path-relative", "cgroups.path-unset")
def relative_path(t: Trial) -> None:
    """Uses a relative cgroupsPath, and none."""
    bundle = t.bundle()
    bundle.linux["cgroupsPath"] = f"{bundle.path.name}-relative"
    seen = place(t, t.up(bundle), "pids")
    named = f"{bundle.path.name}-relative" in str(seen)
    t.expect("cgroups.path-relative", named, f"relative: {seen}")
    bundle = t.bundle()
    del bundle.linux["cgroupsPath"]
    container = t.up(bundle)
    t.expect("cgroups.path-unset", container.proc("cgroup"), f"{place(t, container, 'pids')}")


def owners(t: Trial, *, namespace: bool, option: str) -> tuple[Path, set[str]]:
    """Run a container with a user namespace; return its cgroup, and what in it is not root's.

    `namespace` gives it a cgroup namespace, too; `option` (rw, ro) is that of the cgroup mount.
    """
    bundle = t.bundle()
    bundle.user_namespace()
    if namespace:
        bundle.namespace("cgroup")
    bundle.namespace("network")
    bundle.add_mount("/sys", "sysfs", options=["ro"])
    bundle.add_mount("/sys/fs/cgroup", "cgroup", options=[*LOCKED, option])
    container = t.up(bundle)
    path = place(t, container, "pids")
    changed = {name for name in os.listdir(path) if (path / name).stat().st_uid != 0}
    if path.stat().st_uid != 0:
        changed.add(".")
    return path, changed


@check("cgroups.owner-v1")
def owner_v1(t: Trial) -> None:
    """Runs in user and cgroup namespaces with a writable cgroup mount, on cgroup v1."""
    t.need(not t.host.unified, "cgroup v2 is mounted")
    _, changed = owners(t, namespace=True, option="rw")
    t.expect("cgroups.owner-v1", not changed, f"not root's: {sorted(changed)}")


@check("cgroups.owner-no-namespace")
def owner_without_a_namespace(t: Trial) -> None:
    """Runs in a user namespace without a cgroup namespace, with a writable cgroup mount."""
    t.need(t.host.unified, "cgroup v1: owners are never changed there (cgroups.owner-v1)")
    _, changed = owners(t, namespace=False, option="rw")
    t.expect("cgroups.owner-no-namespace", not changed, f"not root's: {sorted(changed)}")


@check("cgroups.owner-read-only")
def owner_of_a_read_only_mount(t: Trial) -> None:
    """Runs in user and cgroup namespaces with a read-only cgroup mount."""
    t.need(t.host.unified, "cgroup v1: owners are never changed there (cgroups.owner-v1)")
    _, changed = owners(t, namespace=True, option="ro")
    t.expect("cgroups.owner-read-only", not changed, f"not root's: {sorted(changed)}")


@check("cgroups.owner-read-write", "cgroups.owner-files", "cgroups.owner-missing-files")
def owner_changed(t: Trial) -> None:
    """Runs in user and cgroup namespaces with a writable cgroup mount, on cgroup v2."""
    t.need(t.host.unified, "cgroup v1: owners are never changed there (cgroups.owner-v1)")
    path, changed = owners(t, namespace=True, option="rw")
    listed = Path("/sys/kernel/cgroup/delegate").read_text().split()
    there = {name for name in listed if (path / name).exists()}
    t.expect("cgroups.owner-read-write", "." in changed, f"not root's: {sorted(changed)}")
    extra = changed - there - {"."}
    t.expect("cgroups.owner-files", not extra, f"beyond the list: {sorted(extra)}")
    t.expect("cgroups.owner-missing-files", True, f"{len(there)} of {len(listed)} listed are there")


@check("allow-list.order", "allow-list.allow", "allow-list.type-unset", "allow-list.numbers-unset",
       "allow-list.access")  # fmt: skip
def allowed_devices(t: Trial) -> None:
    """Opens a block device under five lists: denied, allowed, in both orders, and in general."""
    t.need(t.host.unified or t.host.controller("devices"), "no devices controller is mounted")
    deny = {"allow": False, "access": "rwm"}
    mine = {"allow": True, "type": "b", "major": 7, "minor": 3, "access": "rwm"}
    rows = (
        ("allow-list.allow", "denied", [deny], "rw"),
        ("allow-list.allow", "allowed", [deny, mine], ""),
        ("allow-list.order", "allowed, then all denied", [mine, deny], "rw"),
        ("allow-list.access", "to be read", [deny, {**mine, "access": "r"}], "w"),
        ("allow-list.type-unset", "all types", [deny, {"allow": True, "access": "rwm"}], ""),
        ("allow-list.numbers-unset", "all minors",
         [deny, {"allow": True, "type": "b", "major": 7, "access": "rwm"}], ""),
    )  # fmt: skip
    script = (
        "dd if=/dev/mine of=/dev/null count=0 2>&1 | sed 's/^/r /';"
        "dd if=/dev/null of=/dev/mine count=0 conv=notrunc 2>&1 | sed 's/^/w /'"
    )
    for sentence, what, rules, refused in rows:
        bundle = t.bundle(script)
        bundle.linux["devices"] = [
            {"type": "b", "path": "/dev/mine", "major": 7, "minor": 3, "fileMode": 0o666}
        ]
        bundle.resources["devices"] = rules
        lines = t.output(bundle).splitlines()
        seen = "".join(way for way in "rw" if any(
            line.startswith(way) and "not permitted" in line for line in lines))  # fmt: skip
        t.expect(sentence, seen == refused, f"{what}: refused are {seen or 'none'}")


@check("unified.no-controller")
def unified_without_its_controller(t: Trial) -> None:
    """Sets keys of unified whose controller does not exist, or hangs in a v1 hierarchy."""
    keys = {"nosuchcontroller.max": "1"}
    if not t.host.unified:
        keys["memory.high"] = "100000000"
    for key, text in keys.items():
        bundle = t.bundle()
        bundle.resources["unified"] = {key: text}
        t.refuses("unified.no-controller", bundle, at="create", what=key)


@check("unified.controllers", "unified.unknown")
def unified_values(t: Trial) -> None:
    """Sets keys of unified, among them one that no runtime has a name for."""
    t.need(t.host.unified, "cgroup v1 is mounted")
    bundle = t.bundle()
    bundle.resources["unified"] = {"memory.oom.group": "1", "pids.max": "44"}
    path = place(t, t.up(bundle), "pids")
    seen = value(path / "memory.oom.group")
    t.expect("unified.unknown", seen == "1", f"memory.oom.group: {seen}")
    enabled = value(path / "cgroup.controllers").split()
    t.expect("unified.controllers", {"memory", "pids"} <= set(enabled), f"{enabled}")
    seen = value(path / "pids.max")
    t.expect("unified.controllers", seen == "44", f"pids.max: {seen}")


@check("unified.conversion")
def conversion_that_is_impossible(t: Trial) -> None:
    """Sets values of cgroup v1's cpu on v2, whose cpu controller has nothing for them."""
    t.need(t.host.unified, "cgroup v1 is mounted")
    t.need(t.host.controller("cpu"), "no cpu controller is mounted")
    bundle = t.bundle()
    bundle.resources["cpu"] = {"realtimeRuntime": 5000, "realtimePeriod": 500_000}
    t.refuses("unified.conversion", bundle, at="create", what=f"{bundle.resources}")
