"""Strategies for mounts, devices and images: see generate.py."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.field import changes as d
from tests.field.case import Change

Changes = list[Change]
BOOL = st.booleans()
SOURCES = [
    d.DIRECTORY,
    d.DIRECTORY + "/below",
    d.FILE,
    "@CASE@/host/l",
    "../host/directory",
    "@CASE@/null",
    "/sys",
]
PLACES = [
    "/mnt",
    "/mnt/a",
    "/new/a",
    "/new/file",
    "/etc/hosts",
    "/etc/passwd",
    "/tmp/a/b",
    "/home",
    "/l",
    "/l/a",
    "/run/x",
    "/dev/shm/x",
    "relative/x",
    "/var/../srv//x/",
]
LINKS = ["mnt", "/mnt", "../../mnt", "/nowhere", "nowhere/deep", "/tmp", "etc/passwd", "/proc/self"]
FLAGS = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "sync",
    "async",
    "dirsync",
    "noatime",
    "atime",
    "nodiratime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
]
RECURSIVE = ["rro", "rrw", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rrelatime", "rstrictatime"]
PROPAGATION = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"]


def some(options: list[str], most: int = 3) -> st.SearchStrategy[list[str]]:
    """A few of a vocabulary, in any order."""
    return st.lists(st.sampled_from(options), max_size=most, unique=True)


def at(pointer: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Changes]:
    """A value at a pointer."""
    return values.map(lambda value: [d.at(pointer, value)])


@st.composite
def binds(draw: st.DrawFn) -> Changes:
    """A bind mount, onto any kind of target, and sometimes one more onto or from it."""
    target = draw(st.sampled_from(PLACES))
    options = draw(some(FLAGS)) + draw(some(RECURSIVE, 1)) + draw(some(PROPAGATION, 1))
    kind = draw(st.sampled_from(["bind", "rbind"]))
    source = draw(st.sampled_from(SOURCES))
    made: Changes = [
        d.link("rootfs/l", draw(st.sampled_from(LINKS))),
        d.link("host/l", "directory"),
    ]
    made.append(
        d.mount(target, draw(st.sampled_from(["bind", "none", ""])), kind, *options, source=source)
    )
    more = draw(st.sampled_from(["", "onto", "from"]))
    if more == "onto":
        made.append(d.bind(f"{target}/below", draw(st.sampled_from(SOURCES))))
    elif more == "from":
        made.append(d.bind("/media", f"@CASE@/bundle/rootfs/{target}"))
    return made


@st.composite
def filesystems(draw: st.DrawFn) -> Changes:
    """A new file system, and sometimes a mount below it."""
    kind = draw(st.sampled_from(["tmpfs", "tmpfs", "tmpfs", "proc", "sysfs", "mqueue", "devpts"]))
    data = {
        "tmpfs": ["size=64k", "size=10%", "mode=0700", "uid=5", "nr_inodes=50", "tmpcopyup"],
        "devpts": ["newinstance", "ptmxmode=0666", "mode=0600", "gid=5"],
    }.get(kind, [])
    options = draw(some(FLAGS)) + (draw(some(data, 2)) if data else [])
    options += draw(some(PROPAGATION, 1))
    target = draw(st.sampled_from([place for place in PLACES if "etc" not in place]))
    made = [d.link("rootfs/l", draw(st.sampled_from(LINKS))), d.mount(target, kind, *options)]
    if kind == "tmpfs" and draw(BOOL):
        made.append(d.bind(f"{target}/below", draw(st.sampled_from(SOURCES))))
    return made


@st.composite
def devices(draw: st.DrawFn) -> Changes:
    """A device, of any kind and place."""
    more: dict[str, Any] = {}
    if draw(BOOL):
        more["fileMode"] = draw(st.sampled_from([0o600, 0o666, 0o644, 0]))
    if draw(BOOL):
        more |= {"uid": draw(st.sampled_from([0, 1000])), "gid": draw(st.sampled_from([0, 5]))}
    numbers, kind = draw(
        st.sampled_from([("1:3", "c"), ("10:229", "c"), ("1:9", "u"), ("7:1", "b")])
    )
    place = st.sampled_from(["/dev/x", "/dev/a/b", "/x", "/dev/fuse", "/l/x", "/dev/../y"])
    return [
        d.link("rootfs/l", draw(st.sampled_from(LINKS))),
        d.device(draw(place), numbers, kind, **more),
    ]


IMAGES = st.one_of(
    st.sampled_from(["proc", "sys", "dev", "etc", "tmp", "root"]).map(
        lambda name: [{"lose": f"rootfs/{name}"}]
    ),
    st.tuples(
        st.sampled_from(["dev", "mnt", "tmp", "root", "home"]),
        st.sampled_from(["0700", "0111", "1777", "2755", "0000"]),
    ).map(lambda both: [d.put(f"rootfs/{both[0]}", "directory", mode=both[1], owner="5:6")]),
    st.sampled_from(["etc/hosts", "etc/hostname", "etc/localtime", "mnt", "home"]).flatmap(
        lambda name: st.sampled_from(LINKS).map(lambda to: [d.link(f"rootfs/{name}", to)])
    ),
)
