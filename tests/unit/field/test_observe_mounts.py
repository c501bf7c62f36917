"""A table of mounts, as the oracle compares it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests.field.observe import MOUNTED, mounts

LINE = "{} 1 0:30 / {} rw,relatime - tmpfs tmpfs rw\n"
SCENE = cast("Any", SimpleNamespace(host_peers=set()))


def table(*points: str) -> str:
    return "".join(LINE.format(number, point) for number, point in enumerate(points, 10))


def test_what_others_have_mounted_since_is_left_out() -> None:
    """Where a hook sees the machine's mounts: they come and go while a case is played."""
    known = min(MOUNTED)
    seen = mounts(SCENE, table(known, "/somebody/else", "@CASE@/bundle/rootfs/mnt"))
    assert list(seen) == [known, "@CASE@/bundle/rootfs/mnt"]


def test_in_the_container_every_mount_counts() -> None:
    assert list(mounts(SCENE, table("/", "/somebody/else"))) == ["/", "/somebody/else"]
