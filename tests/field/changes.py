"""The changes that cases are made of, in short: see case.py."""

from __future__ import annotations

from typing import Any

from tests.field.case import Change

DIRECTORY = "@CASE@/host/directory"
FILE = "@CASE@/host/file"
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def at(pointer: str, value: Any) -> Change:
    """A value in config.json."""
    return {"set": pointer, "to": value}


def bind(destination: str, source: str = DIRECTORY, *options: str) -> Change:
    """A bind mount."""
    return mount(destination, "bind", "rbind", *options, source=source)


def mount(destination: str, kind: str, *options: str, source: str = "") -> Change:
    """Any other mount."""
    entry = {"destination": destination, "type": kind, "source": source or kind}
    return at("/mounts/-", {**entry, "options": list(options)})


def device(path: str, numbers: str = "1:3", kind: str = "c", **more: Any) -> Change:
    """A device of linux.devices."""
    major, minor = (int(number) for number in numbers.split(":"))
    return at(
        "/linux/devices/-", {"path": path, "type": kind, "major": major, "minor": minor, **more}
    )


def put(path: str, kind: str = "file", **more: Any) -> Change:
    """A file of the image or of the host."""
    return {"put": path, "kind": kind, **more}


def link(path: str, to: str) -> Change:
    """A symlink."""
    return put(path, "link", to=to)


def callers(*words: str) -> list[Change]:
    """What the caller is like."""
    return [{"caller": word} for word in words]


def call(verb: str, *options: str, **more: Any) -> Change:
    """A call while the container runs."""
    return {"call": verb, "options": list(options), **more}


def hooks(**more: Any) -> list[Change]:
    """A hook of each kind."""
    return [{"hook": kind, **more} for kind in HOOKS]


def without_namespace(kind: str) -> list[Change]:
    """The default configuration's namespaces but one."""
    kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    return [at("/linux/namespaces", [{"type": one} for one in kinds if one != kind])]


USER = at("/process/user", {"uid": 1000, "gid": 1000, "umask": 0o27, "additionalGids": [5]})
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USERNS = [
    at("/linux/namespaces/-", {"type": "user"}),
    at("/linux/uidMappings", MAPPING),
    at("/linux/gidMappings", MAPPING),
]
ROOTLESS: list[Change] = [
    {"rootless": 1000},
    {"set": "/linux/namespaces/-", "to": {"type": "user"}},
    {"set": "/linux/uidMappings", "to": [{"containerID": 0, "hostID": 1000, "size": 1}]},
    {"set": "/linux/gidMappings", "to": [{"containerID": 0, "hostID": 1000, "size": 1}]},
    {"set": "/mounts/2/options", "to": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]},
    {"remove": "/mounts/6"},
    {"remove": "/linux/cgroupsPath"},
    {"remove": "/linux/resources"},
]
RUN: Change = {"life": "run"}
# A rootless engine's way: root of a namespace of its own, whose only id is the user's.
INSIDE: list[Change] = [
    *ROOTLESS[:1],
    *ROOTLESS[4:],
    {"inside": True},
    RUN,
]
SHARED: Change = {"mounts": "shared"}
FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}],
}
