"""Directories of images, which may hold anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.checkpoint import directory
from ociruntime.errors import OciError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory with two files of images."""
    made = tmp_path / "images"
    made.mkdir()
    (made / "core-1.img").write_bytes(b"x")
    (made / "pages-1.img").write_bytes(b"y")
    return made


@pytest.fixture
def opened(images: Path) -> Iterator[int]:
    """Its descriptor."""
    fd = directory.open_existing(str(images), "image-path")
    yield fd
    os.close(fd)


def test_files_and_directories(images: Path, opened: int) -> None:
    (images / "rootfs-diff").mkdir()
    directory.check(opened, str(images))


def test_a_parent(images: Path, opened: int) -> None:
    """What CRIU itself makes, and every generation of it."""
    before = images.parent / "before"
    before.mkdir()
    (images / "parent").symlink_to("../before")
    directory.check(opened, str(images))
    (before / "core-1.img").symlink_to("/etc/passwd")
    with pytest.raises(OciError, match=r"parent/core-1\.img: it is a symlink"):
        directory.check(opened, str(images))


@pytest.mark.parametrize("target", ["/tmp", "../nothing", "../link"])
def test_parents_that_lead_elsewhere(images: Path, opened: int, target: str) -> None:
    (images.parent / "link").symlink_to(images.parent)
    (images / "parent").symlink_to(target)
    with pytest.raises(OciError, match="parent"):
        directory.check(opened, str(images))


def test_a_parent_of_itself(images: Path, opened: int) -> None:
    (images / "parent").symlink_to(".")
    with pytest.raises(OciError, match="generations"):
        directory.check(opened, str(images))


def test_what_is_no_image(images: Path, opened: int) -> None:
    (images / "pages-2.img").symlink_to("pages-1.img")
    with pytest.raises(OciError, match=r"pages-2\.img: it is a symlink"):
        directory.check(opened, str(images))
    (images / "pages-2.img").unlink()
    os.mkfifo(images / "pages-2.img")
    with pytest.raises(OciError, match=r"pages-2\.img: it is no file"):
        directory.check(opened, str(images))


def test_a_symlink_is_not_opened(images: Path) -> None:
    link = images.parent / "link"
    link.symlink_to(images)
    with pytest.raises(OciError, match=r"--image-path .*link: .*name the directory itself"):
        directory.open_existing(str(link), "image-path")
    with pytest.raises(OciError, match="there is no such directory"):
        directory.open_existing(f"{images}/none", "image-path")


def test_made_with_what_is_above(tmp_path: Path) -> None:
    os.close(directory.make(f"{tmp_path}/a/b/c", "image-path"))
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700


def test_a_file_replaces_a_link(images: Path, opened: int) -> None:
    """Whatever has the name of a file of ours is taken away, not followed."""
    canary = images.parent / "canary"
    canary.write_text("alive")
    (images / "descriptors.json").symlink_to(canary)
    directory.write(opened, "descriptors.json", b"[]")
    assert canary.read_text() == "alive"
    assert (images / "descriptors.json").read_bytes() == b"[]"
    assert not (images / "descriptors.json").is_symlink()


@pytest.mark.parametrize("kind", ["missing", "link", "fifo", "directory"])
def test_what_is_not_read(images: Path, opened: int, kind: str) -> None:
    path = images / "x"
    if kind == "link":
        path.symlink_to("core-1.img")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    assert directory.read(opened, "x", 100) == b""


def test_errors_of_the_log(images: Path, opened: int) -> None:
    (images / "dump.log").write_text(
        "(00.01) x\n"
        "(00.02) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: no\n"
        "(00.03) Error (criu/a.c:2): first\n(00.04) Error (criu/b.c:3): second\n"
        "(00.05) Error (criu/b.c:3): third\n(00.06) Error (criu/b.c:3): fourth\n"
    )
    assert directory.first_errors(opened, "dump.log") == "first; second; third"


def test_a_parent_that_is_named(images: Path, opened: int) -> None:
    """What --parent-path leads to is looked at like the directory itself."""
    before = images.parent / "before"
    before.mkdir()
    directory.check_parent(opened, "../before")
    (before / "pages-1.img").symlink_to(images / "pages-1.img")
    with pytest.raises(OciError, match=r"before/pages-1\.img: it is a symlink"):
        directory.check_parent(opened, "../before")
    with pytest.raises(OciError, match="parent-path none: there is no such directory"):
        directory.check_parent(opened, "none")
