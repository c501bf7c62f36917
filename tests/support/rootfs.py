"""A root file system of busybox for a test."""

from __future__ import annotations

from pathlib import Path

from conformance import rootfs

MORE_DIRECTORIES = ("home", "mnt", "root", "sbin", "usr/bin", "var")
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n",
}


def make_rootfs(directory: Path) -> Path:
    """Create `directory` as a root file system of busybox with a few users, and return it."""
    rootfs.make_rootfs(directory, rootfs.find_busybox())
    for name in MORE_DIRECTORIES:
        (directory / name).mkdir(parents=True, mode=0o755)
    (directory / "root").chmod(0o700)
    for name, text in ETC.items():
        (directory / "etc" / name).write_text(text)
    return directory
