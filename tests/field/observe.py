"""Makes what was seen comparable: without the names of a case, and what differs by chance."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.mounts import mounts_of, parse_mountinfo

if TYPE_CHECKING:
    from tests.field.scene import Scene

# Files of a cgroup that say what was asked for, not what was used.
CGROUP_FILES = (
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.swappiness",
    "memory.kmem.tcp.limit_in_bytes",
    "memory.oom_control",
    "memory.use_hierarchy",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.rt_runtime_us",
    "cpu.rt_period_us",
    "cpu.cfs_burst_us",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "blkio.weight",
    "blkio.bfq.weight",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "devices.list",
    "freezer.state",
    "net_cls.classid",
    "hugetlb.2MB.limit_in_bytes",
    "memory.max",
    "memory.low",
    "memory.high",
    "memory.swap.max",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "io.max",
    "io.weight",
    "cgroup.freeze",
    "cgroup.clone_children",
    "notify_on_release",
)
# Those of the specification, but for its version: a runtime may say more.
_STATE_KEYS = ("id", "status", "pid", "bundle", "annotations")
_LIST_KEYS = ("id", "status", "bundle", "owner", "annotations")
_TAG = re.compile(r"^(shared|master|propagate_from):(\d+)$")


def report(
    scene: Scene, found: dict[str, Any], callers: dict[str, str], own: dict[str, str]
) -> dict[str, Any]:
    """Return what the probe reported, comparable.

    `callers` are the namespaces of the runtime's caller, `own` those of the container's process.
    """
    seen = json.loads(scene.plain(json.dumps(found)))
    inodes = seen["namespaces"]
    seen["namespace inodes"] = inodes
    seen["namespaces"] = {
        kind: "the caller's" if callers.get(kind) == link
        else "the container's" if own.get(kind) == link
        else "its own" if isinstance(link, str)
        else link
        for kind, link in inodes.items()
    }  # fmt: skip
    proc = seen["proc"]
    if seen["namespaces"]["mnt"] == "the caller's":
        del proc["mountinfo"]
    elif isinstance(table := proc.pop("mountinfo"), str):
        seen["mounts"] = mounts(scene, table)
    if isinstance(status := proc.pop("status"), str):
        seen["status"] = dict(
            line.split(":\t", 1) for line in status.splitlines()
            if line.startswith(("Seccomp:", "Speculation", "THP", "CoreDumping"))
        )  # fmt: skip
    if isinstance(cgroups := proc.pop("cgroup"), str):
        rows = [line.split(":", 2) for line in cgroups.splitlines()]
        proc["cgroup"] = {row[1] or "unified": row[2] for row in rows}
    session = seen["session"]
    session["pid"] = "1" if session["pid"] == 1 else "another"
    seen["environment"] = _environment(seen["environment"])
    seen["descriptors"] = _descriptors(seen["descriptors"])
    seen["network"] = {line: True for line in seen["network"] if not line.endswith("%lo link")}
    seen["groups"] = " ".join(seen["groups"])
    seen["affinity"] = " ".join(seen["affinity"])
    seen["argv"] = seen["argv"][0]
    if "stdin" in seen:
        seen["stdin"] = _document(scene, seen["stdin"])
    if "tree" in seen:
        seen["tree"] = {
            path: text for path, text in seen["tree"].items() if not path.startswith("/report/")
        }
    return seen


MOUNTED = {mount.point for mount in parse_mountinfo(Path("/proc/self/mountinfo").read_text())}


def mounts(scene: Scene, table: str) -> dict[str, dict[str, str]]:
    """Return a mount table as a member for each mount: its place, and what is mounted how.

    The tag of a peer group that the caller's namespace has, too, is told as what it is. What others
    have mounted on this machine since is left out where a hook sees the machine's mounts.
    """
    outside = scene.host_peers
    own = "@CASE@/"
    of_machine = any(mount.point.startswith(own) for mount in parse_mountinfo(table))
    found: dict[str, dict[str, str]] = {}
    raw = [line.split(" - ")[0].split(" ")[6:] for line in table.splitlines()]
    for mount, fields in zip(parse_mountinfo(table), raw, strict=True):
        point, number = mount.point, 2
        if of_machine and not point.startswith(own) and point not in MOUNTED:
            continue
        while point in found:
            point = f"{mount.point} #{number}"
            number += 1
        tags = " ".join(sorted(_tag(field, outside) for field in fields))
        access = {"ro", "rw"}
        found[point] = {
            "what": f"{mount.fstype} {mount.source} root={mount.root}",
            "options": ",".join(sorted(mount.options)),
            "file system": ",".join(sorted(mount.super_options - access)),
            "file system access": ",".join(mount.super_options & access),
            "propagation": tags,
        }
    return found


def _tag(field: str, outside: set[str]) -> str:
    match = _TAG.match(field)
    if not match:
        return field
    return f"{match[1]} with the host" if match[2] in outside else match[1]


def peer_groups(pid: int) -> set[str]:
    """Return the numbers of the peer groups in the namespace of a process."""
    found: set[str] = set()
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        for field in line.split(" - ")[0].split(" ")[6:]:
            if match := _TAG.match(field):
                found.add(match[2])
    return found


def _environment(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        found[name] = f"{found[name]} | {value}" if name in found else value
    found.pop("OCIRT_TEST", None)
    return found


def _descriptors(found: dict[str, Any]) -> dict[str, Any]:
    """The standard ones, and of the others what kinds there are."""
    standard = {number: seen for number, seen in found.items() if int(number) < 3}
    for seen in standard.values():
        for name in ("mode", "reopen"):
            seen[name] = f"{seen['kind']}: {seen[name]}"
    more = sorted(
        f"{one['kind']} {one['flags']}" for number, one in found.items() if int(number) > 2
    )
    return {**standard, "more": more}


def _document(scene: Scene, text: str) -> Any:
    """Return a hook's state document, comparable."""
    try:
        found = _parsed(scene, text)
    except ValueError:
        return text
    if isinstance(found, dict) and isinstance(found.get("pid"), int):
        found["pid"] = "a process" if found["pid"] > 0 else found["pid"]
        return {key: value for key, value in found.items() if key in _STATE_KEYS}
    return found


def _parsed(scene: Scene, text: str) -> Any:
    """Return JSON without the case's names; some runtimes escape the slashes of paths."""
    return json.loads(scene.plain(json.dumps(json.loads(text))))


def state(scene: Scene, text: str) -> Any:
    """Return the answer of `state`, as far as the specification knows it."""
    if not text.strip():
        return "nothing"
    found = _parsed(scene, text)
    kept = {key: found.get(key) for key in _STATE_KEYS}
    kept["annotations"] = kept["annotations"] or {}
    kept["pid"] = "a process" if found.get("pid") else "none"
    return kept


def listed(scene: Scene, text: str) -> Any:
    """Return the answer of `list --format json`."""
    found = _parsed(scene, text or "null") or []
    return [{key: one.get(key) for key in _LIST_KEYS if one.get(key)} for one in found]


def processes(text: str) -> Any:
    """Return how many processes `ps --format json` names."""
    try:
        found = json.loads(text)
    except ValueError:
        return "no answer"
    return len(found or [])


def cgroup(scene: Scene, pid: int) -> dict[str, Any]:
    """Return where a process is in each hierarchy, and what is set there."""
    found: dict[str, Any] = {}
    points = {mount.point: mount for mount in mounts_of() if mount.fstype.startswith("cgroup")}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        name = names or "unified"
        found[name] = {"path": scene.plain(path)}
        for point, mount in points.items():
            wanted = names.removeprefix("name=").split(",")
            is_it = (
                mount.fstype == "cgroup2"
                if not names
                else bool(set(wanted) & set(mount.super_options)) or names in mount.super_options
            )
            if is_it and mount.root == "/":
                found[name] |= _values(scene, Path(point + path))
                break
    return found


def _values(scene: Scene, directory: Path) -> dict[str, Any]:
    if scene.id not in directory.parts[-1]:
        return {}  # somebody else's
    values: dict[str, Any] = {}
    for name in CGROUP_FILES:
        try:
            values[name] = (directory / name).read_text().strip()
        except OSError:
            continue
    status = directory.stat()
    values["owner"] = f"{status.st_mode & 0o7777:04o} {status.st_uid}:{status.st_gid}"
    return values


def left(scene: Scene, pid: int) -> dict[str, Any]:
    """Return what the container left behind when it was deleted, and what its image is now."""
    sandbox = scene.sandbox
    deadline_leaks = sandbox.settled_leaks(1.0)
    mounted = sorted(
        scene.plain(mount.point) for mount in mounts_of(pid) if str(scene.directory) in mount.point
    )
    return {
        "leaks": [re.sub(r"\d+", "N", scene.plain(line)) for line in deadline_leaks],
        "mounts": mounted,
        "image": image(scene),
        "cwd": sorted(os.listdir(scene.directory / "cwd")),
    }


def image(scene: Scene) -> dict[str, str]:
    """Return the files of the image and of the sources, as the host sees them."""
    found = {}
    for top in (scene.rootfs, scene.directory / "host"):
        for where, directories, files in os.walk(top):
            for name in [*directories, *files]:
                path = Path(where, name)
                if "/rootfs/report/" in str(path):
                    continue
                status = path.lstat()
                more = status.st_size if stat.S_ISREG(status.st_mode) else ""
                if path.is_symlink():
                    more = os.readlink(path)
                key = scene.plain(str(path)).removeprefix("@CASE@/")
                text = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid} {more}"
                found[key] = scene.plain(text)
    return found
