"""Root filesystems as containerd describes them to a shim, mounted for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import UsageError
from ociruntime.shim.idmapped import Idmap, parse

ROOT = Path(__file__).resolve().parent.parent.parent
# Mounts in a mount namespace of its own, prints what the paths of argv look like, and unmounts.
PROGRAM = """import json, os, sys
from ociruntime.errors import OciError
from ociruntime.shim.rootfs import mount_rootfs, unmount_rootfs
bundle, mounts, paths = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
try:
    mount_rootfs(mounts, bundle)
    print(json.dumps([[os.lstat(p).st_uid, os.lstat(p).st_gid] if os.path.lexists(p) else None
                      for p in paths]))
    unmount_rootfs(bundle)
except OciError as error:
    print(json.dumps(str(error)))
print(json.dumps([line.split()[4] for line in open("/proc/self/mountinfo") if bundle in line]))
"""


def mount(bundle: Path, mounts: list[dict[str, Any]], *paths: Path) -> tuple[Any, list[str]]:
    """What PROGRAM says of ``paths``, or the error, and the mount points that it leaves."""
    full = [{"type": "", "source": "", "target": "", "options": [], **entry} for entry in mounts]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", PROGRAM,
         str(bundle), json.dumps(full), *map(str, paths)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    result, left = map(json.loads, done.stdout.splitlines())
    return result, left


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle without a rootfs, beside two layers and room for an upper one."""
    for name in ("bundle", "low1/etc", "low2/bin", "up", "work"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "low2/bin/sh").touch()
    (tmp_path / "low1/etc/out").symlink_to("/../../../../../..")
    os.chown(tmp_path / "up", 100000, 200000)
    return tmp_path / "bundle"


def overlay(bundle: Path, *options: str) -> dict[str, Any]:
    """The mount of the layers."""
    top = bundle.parent
    layers = f"lowerdir={top}/low1:{top}/low2"
    return {
        "type": "overlay",
        "source": "overlay",
        "options": [f"upperdir={top}/up", f"workdir={top}/work", layers, *options],
    }


MAPS = ("uidmap=0:100000:65536", "gidmap=0:200000:65536")


def test_layers_of_an_overlay_have_the_ids_of_the_user_namespace(bundle: Path) -> None:
    shell = bundle / "rootfs/bin/sh"
    assert mount(bundle, [overlay(bundle)], shell) == ([[0, 0]], [])
    assert mount(bundle, [overlay(bundle, *MAPS)], shell) == ([[100000, 200000]], [])
    assert os.listdir(bundle) == ["rootfs"]


def test_a_bind_mount_has_them(bundle: Path) -> None:
    entry = {"source": str(bundle.parent / "low2"), "options": ["rbind", "ro", *MAPS]}
    assert mount(bundle, [entry], bundle / "rootfs/bin/sh") == ([[100000, 200000]], [])


def test_a_mount_that_fails_leaves_none_of_its_layers(bundle: Path) -> None:
    entry = overlay(bundle, *MAPS, "no-such-option")
    error, left = mount(bundle, [overlay(bundle), entry])
    assert error.startswith("rootfs mount 1 (overlay overlay): ")
    assert not left
    assert os.listdir(bundle) == ["rootfs"]
    error, left = mount(bundle, [{"type": "tmpfs", "source": "none", "options": list(MAPS)}])
    assert error == "rootfs mount of type tmpfs: only overlays are idmapped"
    assert not left


def test_the_target_of_a_mount_stays_in_the_rootfs(bundle: Path) -> None:
    """A layer's symlink does not lead a second mount out of it."""
    inside = {"type": "tmpfs", "source": "none", "target": "/etc/out", "options": ["uid=7"]}
    seen, left = mount(bundle, [overlay(bundle), inside], bundle / "rootfs", bundle.parent)
    assert seen == [[7, 0], [os.getuid(), os.getgid()]]
    assert not left


@pytest.mark.parametrize("text", ["", "0:1", "0:1:x", "0:-1:1", "0:0:0", "4294967295:0:2"])
def test_mappings_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="id mapping"):
        parse(text)


def test_one_map_is_not_enough() -> None:
    with pytest.raises(UsageError, match="go together"):
        Idmap("0:1:1", "")
    assert parse("0:1:2,2:9:1") == [(0, 1, 2), (2, 9, 1)]
