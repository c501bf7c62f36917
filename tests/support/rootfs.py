"""A busybox root file system: made once per session as a template, copied for each bundle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

APPLETS = [
    "awk",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mount",
    "mv",
    "nproc",
    "od",
    "ping",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sleep",
    "sort",
    "stat",
    "stty",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "uname",
    "unshare",
    "wc",
    "which",
    "xargs",
]
DIRECTORIES = [
    "bin",
    "dev",
    "etc",
    "home",
    "mnt",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr/bin",
    "var",
]
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n",
    "group": "root:x:0:\ntty:x:5:\nuser:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n",
}


def busybox() -> Path:
    """Return the host's busybox; raises FileNotFoundError naming the package when absent."""
    found = shutil.which("busybox", path="/bin:/usr/bin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("busybox is not installed; install Debian's busybox-static")
    return Path(found).resolve()


def make_rootfs(directory: Path) -> Path:
    """Create `directory` as a root file system of busybox, and return it (some 2 ms).

    The program is copied, not linked: a hostile container may write to it.
    """
    directory.mkdir(mode=0o755)
    for name in DIRECTORIES:
        (directory / name).mkdir(parents=True, mode=0o755, exist_ok=True)
    (directory / "tmp").chmod(0o1777)
    (directory / "root").chmod(0o700)
    for name, text in ETC.items():
        (directory / "etc" / name).write_text(text)
    install(directory, busybox(), "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", directory / "bin" / applet)
    return directory


def install(rootfs: Path, program: Path, name: str) -> None:
    """Copy a program of the host into `rootfs` under the relative `name`, mode 0755."""
    target = rootfs / name
    shutil.copyfile(program, target)
    target.chmod(0o755)
