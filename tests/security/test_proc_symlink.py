"""CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: where procfs and sysfs lie.

They are mounted on real directories of the container's root only.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime


@pytest.mark.parametrize("target", ["tmp/fake", "/tmp/fake", "../tmp/fake", "/", "dev"])
@pytest.mark.parametrize("name", ["proc", "sys"])
def test_refused(runtime: Runtime, bundle: MakeBundle, name: str, target: str) -> None:
    made = bundle(args=["/bin/true"])
    (made.rootfs / "tmp/fake").mkdir()
    (made.rootfs / name).rmdir()
    (made.rootfs / name).symlink_to(target)
    result = runtime.run(made)
    assert_clear(runtime, result, f"/{name}", "symlink")


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_parent_symlink(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """A procfs or sysfs deeper than one level: no component may be a symlink."""
    made = bundle(args=["/bin/true"])
    (made.rootfs / "tmp/real").mkdir()
    (made.rootfs / "alias").symlink_to("tmp")
    made.add_mount("/alias/real", kind, kind, [])
    result = runtime.run(made)
    assert_clear(runtime, result, "/alias/real")


@pytest.mark.parametrize("kind", ["file", "fifo", "device"])
def test_not_a_directory(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:

    made = bundle(args=["/bin/true"])
    path = made.rootfs / "proc"
    path.rmdir()
    if kind == "file":
        path.write_text("")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert_clear(runtime, runtime.run(made), "/proc")
