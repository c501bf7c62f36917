"""An image with something else under the name of a default device: programs that write to
/dev/null or read keys from /dev/urandom would trust it (config-linux.md#default-devices).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

NUMBERS = {"null": (1, 3), "urandom": (1, 9)}


def node(kind: int, major: int, minor: int) -> Callable[[Path], None]:
    return lambda path: os.mknod(path, kind | 0o666, os.makedev(major, minor))


FAKES: dict[str, Callable[[Path], object]] = {
    "another device": node(stat.S_IFCHR, 1, 7),
    "a block device": node(stat.S_IFBLK, 1, 3),
    "a FIFO": os.mkfifo,
    "a file": lambda path: path.write_bytes(bytes(64)),
    "a directory": os.mkdir,
    "a symlink": lambda path: path.symlink_to("full"),
    "a dangling symlink": lambda path: path.symlink_to("/nowhere"),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("fake", FAKES)
def test_the_image_does_not_choose(
    runtime: Runtime, bundle: MakeBundle, fake: str, name: str
) -> None:
    """The runtime refuses, or the container has the device."""
    made = bundle().drop_mounts("/dev")
    path = made.rootfs / "dev" / name
    path.unlink(missing_ok=True)
    FAKES[fake](path)
    output = attempt(runtime, made, f"stat -L -c '%F %t:%T' /dev/{name}")
    major, minor = NUMBERS[name]
    assert output in (None, f"character special file {major:x}:{minor:x}\n")
    if fake == "a dangling symlink":
        # It leads to the device, which is made inside.
        assert output is not None
        assert (made.rootfs / "nowhere").is_char_device()
    else:
        result = runtime.create(made)
        # Through "a symlink" the null device takes the place of full.
        other = fake == "a symlink" and name == "null"
        device = "not character device 1:7" if other else f"not character device {major}:{minor}"
        assert_clear(runtime, result, "/dev/full" if other else f"/dev/{name}", device, "remove it")
