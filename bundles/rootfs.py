"""A small root filesystem: one static busybox and a symlink for each of its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

DIRECTORIES = ("dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "var")
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
SEARCHED = "/bin:/usr/bin:/usr/local/bin"


class RootfsError(Exception):
    """The root filesystem cannot be made; the text says why and what helps."""


def make_rootfs(directory: Path) -> None:
    """Make the new ``directory`` a root filesystem. Raises ``RootfsError`` or ``OSError``."""
    busybox = find_busybox()
    commands = subprocess.run(
        [busybox, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    directory.mkdir(mode=0o755)
    binaries = directory / "bin"
    binaries.mkdir(mode=0o755)
    for name in DIRECTORIES:
        (directory / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    (directory / "tmp").chmod(0o1777)
    (directory / "root").chmod(0o700)
    for name, text in ETC.items():
        (directory / "etc" / name).write_text(text)
    # A copy, no link: what a container writes to must not be the host's.
    shutil.copyfile(busybox, binaries / "busybox")
    (binaries / "busybox").chmod(0o755)
    for command in commands:
        if command != "busybox":
            (binaries / command).symlink_to("busybox")


def add_program(directory: Path, program: str, target: str) -> None:
    """Copy the host's ``program`` to ``target`` in the root filesystem ``directory``, and the
    shared libraries that it needs to where the dynamic loader looks for them.

    Raises ``RootfsError``.
    """
    found = shutil.which(program, path=SEARCHED)
    if found is None:
        raise RootfsError(f"{program} is not installed; install Debian's package redis-tools")
    libraries = subprocess.run(["ldd", found], check=True, capture_output=True, text=True).stdout
    paths = [word for word in libraries.split() if word.startswith("/")]
    for source, place in ((found, target), *((path, path.lstrip("/")) for path in paths)):
        copy = directory / place
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o755)


def find_busybox() -> str:
    """The host's busybox, which must be static: a root filesystem of ours has no libraries."""
    found = shutil.which("busybox", path=SEARCHED)
    if found is None:
        raise RootfsError("busybox is not installed; install Debian's package busybox-static")
    with open(found, "rb") as file:
        program = file.read()
    # PT_INTERP's content, the dynamic loader's path, is in every program that needs one.
    if b"/ld-linux" in program[:4096] or b"/ld-musl" in program[:4096]:
        raise RootfsError(
            f"{os.path.realpath(found)} needs shared libraries; "
            "install Debian's package busybox-static"
        )
    return found
