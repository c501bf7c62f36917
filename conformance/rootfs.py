"""A root filesystem of busybox."""

from __future__ import annotations

import shutil
from pathlib import Path

from conformance.host import SetupError

APPLETS = (
    "awk basename cat chmod chown chroot cp cut date dd df dirname echo env false find grep head "
    "hostname id ionice ip kill ln ls md5sum mkdir mkfifo mknod mount mv nice nproc od ping printf "
    "ps pwd readlink rm rmdir sed seq sh sleep sort stat stty sync tail tee test touch tr true tty "
    "umount uname unshare wc which xargs"
).split()
DIRECTORIES = ("bin", "dev", "etc", "proc", "run", "sys", "tmp")


def find_busybox() -> Path:
    """Return a busybox that runs in an empty root; raises SetupError if there is none."""
    for name in ("busybox-static", "busybox"):
        found = shutil.which(name)
        if found and b"ld-linux" not in Path(found).read_bytes()[:8192]:
            return Path(found).resolve()
    raise SetupError("no static busybox in PATH: apt-get install busybox-static")


def make_rootfs(directory: Path, busybox: Path) -> None:
    """Make `directory`, with the program, its names and directories to mount on (some 2 ms).

    The program is copied, not linked: a hostile container may write to it.
    """
    for name in DIRECTORIES:
        (directory / name).mkdir(parents=True, mode=0o755)
    (directory / "tmp").chmod(0o1777)
    install(directory, busybox, "bin/busybox")
    for name in APPLETS:
        (directory / "bin" / name).symlink_to("busybox")


def install(rootfs: Path, program: Path, name: str) -> None:
    """Copy a program of the host into `rootfs` under the relative `name`, mode 0755."""
    target = rootfs / name
    shutil.copyfile(program, target)
    target.chmod(0o755)
