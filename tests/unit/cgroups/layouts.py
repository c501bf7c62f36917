"""Layouts for tests, as the parser makes them."""

from __future__ import annotations

from ociruntime.cgroups.detect import Hierarchy, Layout

CONTROLLERS = (
    "memory", "cpu", "cpuset", "pids", "blkio", "devices", "freezer", "hugetlb", "net_cls",
    "net_prio", "rdma",
)  # fmt: skip


def v1_layout(base: str = "/sys/fs/cgroup", own: str = "/") -> Layout:
    """Each controller alone, and systemd's hierarchy."""
    found = [Hierarchy(name, (name,), f"{base}/{name}", "/", own) for name in CONTROLLERS]
    found.append(Hierarchy("name=systemd", (), f"{base}/systemd", "/", own))
    return Layout("v1", found)


def hybrid_layout(base: str = "/sys/fs/cgroup", own: str = "/") -> Layout:
    """The same with the unified hierarchy."""
    found = v1_layout(base, own).hierarchies
    return Layout("hybrid", [*found, Hierarchy("", (), f"{base}/unified", "/", own)])


def v2_layout(base: str = "/sys/fs/cgroup", own: str = "/a/own") -> Layout:
    """A v2 host with all controllers."""
    names = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")
    return Layout("v2", [Hierarchy("", names, base, "/", own)])
