"""tmpcopyup of a tree that is made to hurt: its cost is bounded, and it leaves nothing open."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.kernel.kernel import Kernel
from ociruntime.spec.mount_options import CopyBound
from ociruntime.steps.copyup import ENTRY, copy_tree

FEW = 10
# More than one getdents64(2) of ours returns.
MANY = 3000


class Watched(Kernel):
    """Counts system calls, and refuses to open directories to write into: the ``refused``-th."""

    def __init__(self, refused: int = 0) -> None:
        self.calls: list[str] = []
        self.refused = refused

    def invoke(self, name: str, *arguments: int | bytes | bytearray | None) -> int:
        self.calls.append(name)
        if name == "openat2" and self.refused and self.calls.count(name) == self.refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().invoke(name, *arguments)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """A directory to be copied, and both as descriptors."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    yield source, fds[0], fds[1]
    for fd in fds:
        os.close(fd)


def test_names_are_counted_while_they_are_read(trees: tuple[Path, int, int]) -> None:
    """Nobody keeps the names of a directory that has more of them than may be copied."""
    source, theirs, ours = trees
    for number in range(MANY):
        (source / f"a-name-of-some-length-{number}").symlink_to("x")
    kernel = Watched()
    with pytest.raises(OSError, match="the limit") as raised:
        copy_tree(kernel, theirs, ours, CopyBound("the limit", FEW * ENTRY))
    assert raised.value.errno == errno.ENOSPC
    assert len(os.listdir(ours)) == FEW
    assert kernel.calls.count("getdents64") == 1


@pytest.mark.parametrize("refused", range(1, 8))
def test_nothing_stays_open(trees: tuple[Path, int, int], refused: int) -> None:
    source, theirs, ours = trees
    (source / "below").mkdir()
    (source / "below" / "file").write_text("content")
    (source / "file").write_text("content")
    before = os.listdir("/proc/self/fd")
    kernel = Watched(refused)
    if refused <= 6:  # each directory on both sides, and each file
        with pytest.raises(OSError, match="Input/output error"):
            copy_tree(kernel, theirs, ours)
    else:
        copy_tree(kernel, theirs, ours)
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_is_there_already_stays(trees: tuple[Path, int, int]) -> None:
    source, theirs, ours = trees
    (source / "file").write_text("content")
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=ours))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileExistsError):
        copy_tree(Kernel(), theirs, ours)
    assert os.listdir("/proc/self/fd") == before
    assert os.stat("file", dir_fd=ours).st_size == 0
