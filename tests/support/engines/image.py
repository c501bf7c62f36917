"""The image that all engines run: a busybox with every applet, as a root file system in a tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from conformance.rootfs import DIRECTORIES, find_busybox
from tests.support.rootfs import ETC, MORE_DIRECTORIES

NAME = "ocirt-test"


def write_image(path: Path) -> Path:
    """Write the tar to `path` for `import` of docker, podman and the like, and return it."""
    busybox = find_busybox()
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    with tarfile.open(path, "w") as tar:
        for name in (*DIRECTORIES, *MORE_DIRECTORIES):
            mode = {"tmp": 0o1777, "root": 0o700}.get(name, 0o755)
            _add(tar, name, tarfile.DIRTYPE, mode)
        for name, text in ETC.items():
            _add(tar, f"etc/{name}", tarfile.REGTYPE, 0o644, text.encode())
        _add(tar, "etc/unreadable", tarfile.REGTYPE, 0o644, b"not a program\n")
        _add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, busybox.read_bytes())
        for applet in listing.stdout.split():
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
    return path


def _add(
    tar: tarfile.TarFile, name: str, kind: bytes, mode: int, data: bytes = b"", link: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
    tar.addfile(info, io.BytesIO(data))
