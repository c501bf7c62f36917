"""The file of the start image: one that is not whole and ours is not entered, and why not is told;
whoever is killed while he makes one leaves nothing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.installed import (
    HEADER_SIZE,
    IMAGE,
    INODE,
    PREFIX,
    SIZE,
    change,
    flip,
    run,
    set_back,
    uses_image,
)
from tests.support.patience import PATIENCE

pytestmark = [
    pytest.mark.skipif(not (PREFIX / IMAGE).exists(), reason="no start image: run `make build`"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away: needs root")
DAMAGED = "it is damaged, or of another version of ociruntime"
RESIZED = "it has another size than when it was made"
WRITTEN = "it was copied or written to since it was made"


def make_fifo(image: Path) -> None:
    image.unlink()
    os.mkfifo(image, 0o644)


def make_directory(image: Path) -> None:
    image.unlink()
    image.mkdir()


def make_link(image: Path) -> None:
    image.rename(image.with_name("elsewhere"))
    image.symlink_to("elsewhere")


def copy_in_place(image: Path) -> None:
    """As a backup is restored: everything is the same but the file."""
    copy = image.with_name("copy")
    shutil.copy2(image, copy)
    copy.rename(image)


def shorten(image: Path, length: int) -> None:
    os.truncate(image, length if length >= 0 else image.stat().st_size + length)


def fill(image: Path) -> None:
    image.write_bytes(os.urandom(image.stat().st_size))


def flip_content(image: Path) -> None:
    flip(image, image.stat().st_size // 2)


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (make_fifo, "it is no regular file"),
    "directory": (make_directory, "it is no regular file"),
    "link": (make_link, "it is a symbolic link"),
    "group": (lambda image: image.chmod(0o664), "others than its owner may write to it"),
    "world": (lambda image: image.chmod(0o646), "others than its owner may write to it"),
    "empty": (lambda image: shorten(image, 0), DAMAGED),
    "begun": (lambda image: shorten(image, 100), DAMAGED),
    "header": (lambda image: shorten(image, 2 * 4096), DAMAGED),
    "shorter": (lambda image: shorten(image, -4096), RESIZED),
    "one less": (lambda image: shorten(image, -1), RESIZED),
    "longer": (lambda image: os.truncate(image, image.stat().st_size + 4096), RESIZED),
    "garbage": (fill, DAMAGED),
    "segment": (lambda image: flip(image, 400), DAMAGED),
    "last bit": (lambda image: flip(image, HEADER_SIZE - 1), DAMAGED),
    "size": (lambda image: change(image, SIZE + 1), RESIZED),
    "content": (flip_content, WRITTEN),
    "touched": (os.utime, WRITTEN),
    "inode": (lambda image: change(image, INODE), WRITTEN),
    "copy": (copy_in_place, WRITTEN),
}


def assert_reason(prefix: Path, reason: str, **options: object) -> None:
    told = f"started without a start image: {reason}; `ociruntime image refresh` makes one\n"
    assert run(prefix, "image", **options).stdout == told
    debug = run(prefix, "--debug", "state", "none", **options).stderr
    assert re.sub(r" +", " ", told.strip()) in re.sub(r" +", " ", debug)


@pytest.mark.security
@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_not_as_it_was_made(prefix: Path, case: str) -> None:
    """It starts without waiting, says why, and a refresh replaces whatever lies there."""
    wrong, reason = CASES[case]
    wrong(prefix / IMAGE)
    assert not uses_image(prefix)
    assert_reason(prefix, reason)
    if case != "directory":
        assert run(prefix, "image", "refresh").returncode == 0
        assert uses_image(prefix)


@needs_root
@pytest.mark.security
def test_another_users_file_is_not_entered(prefix: Path) -> None:
    """Not by root, not by anybody else, not by that user himself."""
    image = prefix / IMAGE
    reason = "it belongs neither to root nor to the owner of ociruntime"
    os.chown(image, 4321, -1)
    for uid in (0, 1234, 4321):
        assert_reason(prefix, reason, user=uid, cwd="/")


@needs_root
def test_the_owner_of_the_program_may_make_it(prefix: Path) -> None:
    """And root; nobody else, because his would not be used."""
    program = prefix / "bin" / "ociruntime"
    directory = (prefix / IMAGE).parent
    for path in (program, directory):
        os.chown(path, 4321, -1)
    assert uses_image(prefix)  # root's
    made = run(prefix, "image", "refresh", user=4321, cwd="/")
    assert (made.returncode, made.stderr) == (0, "")
    assert (prefix / IMAGE).stat().st_uid == 4321
    assert uses_image(prefix)
    directory.chmod(0o777)
    refused = run(prefix, "image", "refresh", user=1234, cwd="/")
    assert refused.returncode == 1
    assert "only an image of root's or of the owner of" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (prefix / IMAGE).stat().st_uid == 4321


def test_who_asks_gets_the_content_read(prefix: Path) -> None:
    """Damage that leaves no trace in time and size is found by `image`; who only looks at a
    container does not pay for that.
    """
    flip_content(prefix / IMAGE)
    set_back(prefix / IMAGE)
    for words in (["image"], ["--debug", "image", "show"]):
        told = run(prefix, *words).stdout
        assert told.startswith("started without a start image: its content is damaged; ")
    assert run(prefix, "image", "refresh").returncode == 0
    assert run(prefix, "image").stdout == "started from the start image\n"


def others(prefix: Path) -> list[str]:
    directory = (prefix / IMAGE).parent
    return sorted(path.name for path in directory.glob("start.image?*"))


def test_it_is_replaced_at_once(prefix: Path) -> None:
    before = (prefix / IMAGE).stat().st_ino
    assert run(prefix, "--make-image").returncode == 0
    after = (prefix / IMAGE).stat()
    assert after.st_ino != before
    assert after.st_mode & 0o777 == 0o644
    assert others(prefix) == []


def test_a_directory_that_cannot_be_written(prefix: Path) -> None:
    image = prefix / IMAGE
    image.unlink()
    image.mkdir()
    (image / "full").touch()
    done = run(prefix, "--make-image")
    assert done.returncode == 1
    assert re.fullmatch(r"ociruntime: cannot write the start image: [^\n]*\n", done.stderr)
    assert others(prefix) == []


def make_traced(prefix: Path, *injections: str) -> tuple[int, list[str]]:
    """Make an image; the status, and the calls that were traced."""
    log = prefix / "trace"
    words = [word for injection in injections for word in ("-e", f"inject={injection}")]
    done = subprocess.run(
        ["strace", "-e", "trace=openat,flock,pwrite64,fsync,linkat,rename", *words, "-o", log,
         prefix / "bin" / "ociruntime", "--make-image"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, log.read_text().splitlines()


def without_tmpfile(prefix: Path) -> str:
    """An injection that makes this file system one that has no O_TMPFILE."""
    _, calls = make_traced(prefix)
    opened = [call for call in calls if call.startswith("openat(")]
    number = next(place for place, call in enumerate(opened, 1) if "O_TMPFILE" in call)
    return f"openat:error=EOPNOTSUPP:when={number}"


@pytest.mark.parametrize("call", ["flock", "pwrite64", "fsync", "linkat", "rename"])
def test_a_killed_maker_leaves_nothing(prefix: Path, call: str) -> None:
    """A file with no name ends with its maker; what had one already, in the instant before it is
    the image, is removed by the next. The image before it stays in use.
    """
    status, _ = make_traced(prefix, f"{call}:signal=KILL:when=1")
    assert status in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert len(others(prefix)) == (call == "rename")
    assert uses_image(prefix)
    assert run(prefix, "--make-image").returncode == 0
    assert others(prefix) == []
    assert uses_image(prefix)


@pytest.mark.parametrize("call", ["pwrite64", "fsync", "rename"])
def test_the_next_maker_removes_what_has_a_name(prefix: Path, call: str) -> None:
    """Where the file system has no files without one."""
    lacking = without_tmpfile(prefix)
    status, calls = make_traced(prefix, lacking)
    assert status == 0
    assert not any(call.startswith("linkat(") for call in calls)
    assert others(prefix) == []
    assert uses_image(prefix)
    make_traced(prefix, lacking, f"{call}:signal=KILL:when=1")
    assert len(others(prefix)) == 1
    assert run(prefix, "--make-image").returncode == 0
    assert others(prefix) == []
    assert uses_image(prefix)


def test_only_what_nobody_works_on_is_removed(prefix: Path) -> None:
    """Another maker's file is locked; and a name that no maker gives is somebody else's."""
    directory = (prefix / IMAGE).parent
    (directory / "start.image.77").write_bytes(b"left")
    (directory / "start.image.old").write_bytes(b"kept by somebody")
    os.mkfifo(directory / "start.image.79")
    with (directory / "start.image.78").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(prefix, "--make-image").returncode == 0
        assert others(prefix) == ["start.image.78", "start.image.79", "start.image.old"]
    assert run(prefix, "--make-image").returncode == 0
    assert others(prefix) == ["start.image.79", "start.image.old"]


def test_makers_at_once_each_make_a_whole_one(prefix: Path) -> None:
    makers = [
        subprocess.Popen([prefix / "bin" / "ociruntime", "--make-image"], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for maker in makers:
        assert maker.communicate(timeout=PATIENCE)[1] == b""
        assert maker.returncode == 0
    assert others(prefix) == []
    assert run(prefix, "image").stdout == "started from the start image\n"


def test_a_file_system_without_locks(prefix: Path) -> None:
    """No image is made, and what had a name already goes."""
    lacking = without_tmpfile(prefix)
    status, calls = make_traced(prefix, lacking, "flock:error=ENOLCK:when=1")
    assert status == 1
    assert any("ENOLCK" in call for call in calls)
    assert others(prefix) == []
    assert uses_image(prefix)
