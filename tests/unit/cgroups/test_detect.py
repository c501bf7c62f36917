"""Which hierarchies a host has, from the texts of /proc."""

from __future__ import annotations

import pytest

from ociruntime.cgroups.detect import Layout, parse

ROOT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


def v1_mount(number: int, options: str, root: str = "/", point: str = "") -> str:
    name = options.removeprefix("name=")
    point = point or f"/sys/fs/cgroup/{name}"
    return (
        f"{number} 31 0:{number} {root} {point} rw,relatime shared:9 - cgroup cgroup rw,{options}\n"
    )


def v2_mount(point: str, root: str = "/") -> str:
    return f"41 31 0:38 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def keys(layout: Layout) -> list[str]:
    return [item.key for item in layout.hierarchies]


def test_v1() -> None:
    mounts = ROOT + v1_mount(32, "cpu,cpuacct") + v1_mount(33, "memory")
    layout = parse(mounts, "2:memory:/a\n1:cpu,cpuacct:/b/c\n")
    assert layout.mode == "v1"
    assert keys(layout) == ["memory", "cpu,cpuacct"]
    cpuacct = layout.find("cpuacct")
    assert cpuacct is not None
    assert cpuacct.controllers == ("cpu", "cpuacct")
    assert (cpuacct.mountpoint, cpuacct.own) == ("/sys/fs/cgroup/cpu,cpuacct", "/b/c")
    assert layout.find("pids") is None
    assert layout.unified is None


def test_hybrid_lists_the_unified_hierarchy_last() -> None:
    mounts = (
        v2_mount("/sys/fs/cgroup/unified") + v1_mount(32, "memory") + v1_mount(3, "name=systemd")
    )
    layout = parse(ROOT + mounts, "9:name=systemd:/s\n4:memory:/m\n0::/u\n")
    assert layout.mode == "hybrid"
    assert keys(layout) == ["name=systemd", "memory", ""]
    assert layout.unified is not None
    assert layout.unified.own == "/u"
    assert [item.controllers for item in layout.hierarchies] == [(), ("memory",), ()]


def test_v2() -> None:
    layout = parse(ROOT + v2_mount("/sys/fs/cgroup"), "0::/user.slice/x.scope\n")
    assert layout.mode == "v2"
    assert layout.hierarchies[0].own == "/user.slice/x.scope"


def test_v2_is_not_disturbed_by_a_stray_v1_controller() -> None:
    mounts = v2_mount("/sys/fs/cgroup") + v1_mount(50, "net_cls")
    layout = parse(mounts, "1:net_cls:/\n0::/\n")
    assert layout.mode == "v2"
    assert keys(layout) == [""]


def test_v2_with_a_named_hierarchy_somewhere() -> None:
    mounts = v2_mount("/mnt/cgroup2") + v1_mount(50, "name=elogind")
    assert parse(mounts, "1:name=elogind:/\n0::/\n").mode == "v2"


@pytest.mark.parametrize(
    ("mounts", "cgroup"),
    [("", ""), (ROOT, "0::/\n"), (v1_mount(3, "name=systemd"), "1:name=systemd:/\n")],
)
def test_none(mounts: str, cgroup: str) -> None:
    layout = parse(mounts, cgroup)
    assert (layout.mode, layout.hierarchies) == ("none", [])


def test_a_controller_that_is_not_mounted_is_left_out() -> None:
    layout = parse(v1_mount(32, "memory"), "5:pids:/\n4:memory:/\n")
    assert keys(layout) == ["memory"]


def test_controller_names_are_compared_whole() -> None:
    # "cpu" is a part of "cpuset" and of "cpuacct".
    mounts = v1_mount(32, "cpuset") + v1_mount(33, "cpuacct") + v1_mount(34, "cpu")
    layout = parse(mounts, "1:cpu:/\n")
    assert layout.hierarchies[0].mountpoint == "/sys/fs/cgroup/cpu"


def test_of_several_mounts_the_one_that_shows_most_is_taken() -> None:
    mounts = (
        v1_mount(32, "memory", "/docker/a", "/var/lib/x/memory")
        + v1_mount(33, "memory", "/docker", "/mnt/memory")
        + v1_mount(34, "memory", "/other", "/mnt/other")
    )
    layout = parse(mounts, "1:memory:/docker/a\n")
    memory = layout.hierarchies[0]
    assert (memory.mountpoint, memory.root) == ("/mnt/memory", "/docker")
    assert memory.own_path() == "/a"


@pytest.mark.parametrize(
    ("root", "own", "expected"),
    [
        ("/", "/a/b", "/a/b"),
        ("/", "/", "/"),
        ("/a", "/a", "/"),
        ("/a", "/a/b", "/b"),
        ("/a", "/ab", None),
        ("/a", "/", None),
        ("/..", "/", None),
    ],
)
def test_own_path(root: str, own: str, expected: str | None) -> None:
    layout = parse(v1_mount(32, "memory", root), f"1:memory:{own}\n")
    assert layout.hierarchies[0].own_path() == expected


def test_escapes_in_mountpoints() -> None:
    layout = parse(v1_mount(32, "memory", "/", r"/a\040b\134c"), "1:memory:/\n")
    assert layout.hierarchies[0].mountpoint == "/a b\\c"


def test_a_deleted_own_cgroup() -> None:
    layout = parse(v2_mount("/sys/fs/cgroup"), "0::/gone (deleted)\n")
    assert layout.hierarchies[0].own == "/gone"


def test_a_colon_in_a_cgroup() -> None:
    layout = parse(v1_mount(32, "memory"), "4:memory:/slice:docker:x\n")
    assert layout.hierarchies[0].own == "/slice:docker:x"


def test_as_dict() -> None:
    layout = parse(v1_mount(32, "memory"), "4:memory:/x\n")
    assert layout.as_dict() == {
        "mode": "v1",
        "hierarchies": [
            {
                "name": "memory",
                "controllers": ["memory"],
                "mountpoint": "/sys/fs/cgroup/memory",
                "root": "/",
                "own": "/x",
            }
        ],
    }


def test_what_another_mount_covers_is_not_there() -> None:
    """v1 hierarchies below a tmpfs that a cgroup2 mount lies over; and the other way round."""
    tmpfs = "31 22 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    covering = "50 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    own = "4:memory:/m\n0::/u\n"
    below = v1_mount(32, "memory")
    for mounts in (tmpfs + below + covering, tmpfs + covering + below):
        layout = parse(ROOT + mounts, own)
        assert (layout.mode, keys(layout)) == ("v2", [""])
    # Made first, attached last: listed before its parent.
    first = "29 51 0:39 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    over = "51 50 0:31 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    layout = parse(ROOT + first + tmpfs + covering + over, own)
    assert (layout.mode, keys(layout)) == ("v1", ["memory"])
