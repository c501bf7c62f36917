"""config-linux.md: namespaces, their mappings and clocks."""

from __future__ import annotations

import os
from functools import partial

from conformance.leaks import unmount
from conformance.registry import add, check
from conformance.trial import Trial

# type in config.json: name in /proc/PID/ns
FILES = {
    "pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "user": "user",
    "cgroup": "cgroup", "time": "time",
}  # fmt: skip


def link(pid: int | str, kind: str) -> str:
    """Return the identity of a process's namespace."""
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


def new(t: Trial, kind: str) -> None:
    """Make a new namespace; compare inodes from outside and inside."""
    t.need(t.host.namespace(FILES[kind]), f"the kernel has no {kind} namespaces")
    bundle = t.bundle(f"readlink /proc/self/ns/{FILES[kind]}; exec sleep 600")
    if kind == "user":
        bundle.user_namespace()
    else:
        bundle.namespace(kind)
    container = t.up(bundle)
    t.wait_for("the program's line", lambda: "\n" in container.output())
    outside, inside = link(container.pid, kind), container.output().strip()
    own = link("self", kind)
    sentence = f"namespaces.{kind}-new"
    t.expect(sentence, outside != own, f"of its own: {outside != own}")
    t.expect(sentence, inside == outside, f"the same from inside: {inside == outside}")


def joined(t: Trial, kind: str) -> None:
    """Join the namespace of another process."""
    bundle = t.bundle()
    path = t.host_namespace(FILES[kind])
    bundle.namespace(kind, path)
    if kind == "uts":
        del bundle.config["hostname"]
    container = t.up(bundle)
    wanted, seen = os.readlink(path), link(container.pid, kind)
    t.expect(
        f"namespaces.{kind}-path", seen == wanted, f"in the namespace at path: {seen == wanted}"
    )


def inherited(t: Trial, kind: str) -> None:
    """Leave a type out."""
    bundle = t.bundle()
    bundle.drop_namespace(kind)
    if kind == "uts":
        del bundle.config["hostname"]
    if kind == "mount":
        bundle.config["mounts"] = []  # they would be made in the runtime's mount namespace
        t.host_mount("-t", "proc", "proc", str(bundle.rootfs / "proc"))
        t.closers.append(partial(unmount, bundle.rootfs / "proc"))
    container = t.up(bundle)
    same = link(container.pid, kind) == link("self", kind)
    t.expect(f"namespaces.{kind}-inherit", same, f"in the runtime's: {same}")


@check("namespaces.type-required", "namespaces.path-absolute", "namespaces.path-type",
       "namespaces.path-no-namespace", "namespaces.duplicate")  # fmt: skip
def invalid_namespaces(t: Trial) -> None:
    """Uses no type, an unknown one, wrong paths, a namespace of another type, and a type twice."""
    other = t.host_namespace("uts")
    for sentence, entries in (
        ("namespaces.type-required", [{"path": "/proc/self/ns/ipc"}]),
        ("namespaces.type-required", [{"type": "nosuch"}]),
        ("namespaces.path-absolute", [{"type": "ipc", "path": "proc/self/ns/ipc"}]),
        ("namespaces.path-type", [{"type": "ipc", "path": other}]),
        ("namespaces.path-no-namespace", [{"type": "ipc", "path": "/dev/null"}]),
        ("namespaces.path-no-namespace", [{"type": "ipc", "path": "/absent"}]),
        ("namespaces.duplicate", [{"type": "ipc"}, {"type": "ipc"}]),
    ):
        bundle = t.bundle()
        bundle.drop_namespace("ipc")
        bundle.linux["namespaces"] += entries
        what = str(entries).replace(other, "/proc/PID/ns/uts")
        t.refuses(sentence, bundle, at="create", what=what)


@check("mappings.uid", "mappings.gid", "mappings.ownership")
def mappings(t: Trial) -> None:
    """Maps users and groups in two ranges each; the files of the bundle are root's."""
    bundle = t.bundle()
    bundle.namespace("user")
    users = [(0, 100_000, 1000), (1000, 300_000, 10)]
    groups = [(0, 200_000, 2000), (2000, 400_000, 20)]
    for name, rows in (("uidMappings", users), ("gidMappings", groups)):
        bundle.linux[name] = [
            {"containerID": inside, "hostID": outside, "size": size}
            for inside, outside, size in rows
        ]
    bundle.rootfs.chmod(0o755)
    before = bundle.rootfs.joinpath("bin", "busybox").stat()
    container = t.create(bundle)
    for sentence, name, rows in (
        ("mappings.uid", "uid_map", users), ("mappings.gid", "gid_map", groups),
    ):  # fmt: skip
        seen = [tuple(map(int, line.split())) for line in container.proc(name).splitlines()]
        t.expect(sentence, seen == rows, f"{name}: {seen}")
    after = bundle.rootfs.joinpath("bin", "busybox").stat()
    same = (before.st_uid, before.st_gid) == (after.st_uid, after.st_gid)
    t.expect("mappings.ownership", same, f"the program's owner is the same: {same}")


@check("mappings.required")
def invalid_mappings(t: Trial) -> None:
    """Leaves out containerID, hostID and size, each once."""
    for missing in ("containerID", "hostID", "size"):
        bundle = t.bundle()
        bundle.user_namespace()
        del bundle.linux["uidMappings"][0][missing]
        t.refuses("mappings.required", bundle, at="create", what=f"no {missing}")


@check("time.monotonic", "time.boottime")
def time_offsets(t: Trial) -> None:
    """Makes a time namespace with offsets of both clocks, and reads uptime inside."""
    t.need(t.host.namespace("time"), "the kernel has no time namespaces")
    bundle = t.bundle("cut -d. -f1 /proc/uptime; exec sleep 600")
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {
        "monotonic": {"secs": 172_800, "nanosecs": 5},
        "boottime": {"secs": 604_800, "nanosecs": 0},
    }
    container = t.up(bundle)
    lines = [line.split() for line in container.proc("timens_offsets").splitlines()]
    seen = {line[0]: line[1:] for line in lines}
    t.expect("time.monotonic", seen.get("monotonic") == ["172800", "5"], f"{seen.get('monotonic')}")
    t.expect("time.boottime", seen.get("boottime") == ["604800", "0"], f"{seen.get('boottime')}")
    t.wait_for("the program's line", lambda: "\n" in container.output())
    uptime = int(container.output().split()[0])
    t.expect("time.boottime", uptime >= 604_800, f"uptime inside: {uptime} s")


def _register() -> None:
    for kind in FILES:
        for what, function, did in (
            ("new", new, f"Makes a {kind} namespace, and compares it from outside and inside."),
            ("path", joined, f"Joins the {kind} namespace of another process by its path."),
            ("inherit", inherited, f"Runs without a {kind} namespace in the configuration."),
        ):
            name = f"namespaces.{function.__name__}[{kind}]"
            add(name, [f"namespaces.{kind}-{what}"], did, partial(function, kind=kind))


_register()
