"""Fingerprints: proof that a directory tree or a program was not touched."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def tree_hash(directory: Path) -> str:
    """Return a digest of names, kinds, modes, owners, contents and times below `directory`."""
    digest = hashlib.sha256()
    for parent, names, files in os.walk(directory):
        names.sort()
        for name in [".", *sorted(files), *names]:
            digest.update(_entry(os.path.join(parent, name)))
    return digest.hexdigest()


def _entry(path: str) -> bytes:
    info = os.lstat(path)
    content = b""
    if stat.S_ISLNK(info.st_mode):
        content = os.readlink(path).encode()
    elif stat.S_ISREG(info.st_mode):
        content = Path(path).read_bytes()
    facts = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_ino, info.st_rdev)
    return b"\0".join((path.encode(), repr(facts).encode(), hashlib.sha256(content).digest()))


def list_tree(directory: Path) -> list[str]:
    """Return the relative names below `directory`, sorted: what to print when a hash differs."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Canary:
    """A directory outside every rootfs: `check()` fails when anything in it changed.

    It holds a directory, a file and a device-like name, which attacks aim at.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self.path.mkdir(mode=0o755)
        (self.path / "dir").mkdir()
        self.file = self.path / "file"
        self.file.write_text("canary\n")
        self.file.chmod(0o644)
        self.seal()

    def seal(self) -> None:
        """Take the present content as the one to keep (after a test has added its own)."""
        self._hash = tree_hash(self.path)
        self._names = list_tree(self.path)
        self._reported = False

    def check(self) -> None:
        """Raise AssertionError, once, naming the entries that came or went, or `content`."""
        if not self._reported and tree_hash(self.path) != self._hash:
            self._reported = True
            changed = sorted(set(self._names) ^ set(list_tree(self.path)))
            raise AssertionError(f"the host's canary was changed: {changed or 'content'}")
