"""Mounts of a running container: what its processes exchange meanwhile chooses no other mount."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Result, Runtime


def mounts(runtime: Runtime, verb: str, container: str, entry: dict[str, object]) -> Result:
    file = runtime.sandbox.directory / "mounts.json"
    file.write_text(json.dumps([entry]))
    return runtime.call("mounts", verb, container, str(file), container=container)


def points(runtime: Runtime, container: str) -> set[str]:
    text = runtime.exec(container, "cat", "/proc/self/mountinfo").check().stdout
    return {mount.point for mount in parse_mountinfo(text)}


@pytest.mark.parametrize("whose", ["added", "configured"])
def test_a_mask_stays(runtime: Runtime, bundle: MakeBundle, canary: Canary, whose: str) -> None:
    """A directory above the mount may be renamed in there, and a symlink take its place: the mount
    that it leads to is none that shall go.
    """
    made = bundle(args=["sleep", "1000"])
    made.config["linux"].setdefault("readonlyPaths", []).append("/proc/tty")
    entry = {"destination": "/mnt/a/data", "type": "bind", "source": str(canary.path)}
    entry["options"] = ["rbind", "ro"]
    if whose == "configured":
        made.config["mounts"].append(entry)
    container = runtime.up(made)
    if whose == "added":
        mounts(runtime, "add", container, entry).check()
    moved = "mv /mnt/a /mnt/b && mkdir /mnt/a && ln -s /proc/tty /mnt/a/data"
    runtime.exec(container, "sh", "-c", moved).check()
    assert_clear(runtime, mounts(runtime, "remove", container, entry), "/mnt/a/data")
    assert {"/proc/tty", "/mnt/b/data"} <= points(runtime, container)
    back = "rm /mnt/a/data && rmdir /mnt/a && mv /mnt/b /mnt/a"
    runtime.exec(container, "sh", "-c", back).check()
    mounts(runtime, "remove", container, entry).check()
    assert "/mnt/a/data" not in points(runtime, container)
