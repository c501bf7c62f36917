"""The option tmpcopyup: all that the image has at the mount point is in the new tmpfs, or it is
said what cannot be.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 65536}]


def copying(made: Bundle, *, user: bool) -> Bundle:
    if user:
        for path in (made.rootfs, *made.rootfs.rglob("*")):
            os.lchown(path, 100_000, 100_000)
        made.add_namespace("user").set("/linux/uidMappings", MAPPING)
        made.set("/linux/gidMappings", MAPPING)
    return made.add_mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup"])


@pytest.mark.parametrize("user", [False, True], ids=["root", "user-namespace"])
def test_every_kind_of_file(runtime: Runtime, bundle: MakeBundle, user: bool) -> None:
    made = bundle()
    place = made.rootfs / "mnt"
    (place / "dir/inner").mkdir(parents=True)
    (place / "dir").chmod(0o2750)
    os.mkfifo(place / "fifo")
    (place / "fifo").chmod(0o642)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{os.open(place, os.O_PATH)}/socket")
    (place / "socket").chmod(0o700)
    (place / "link").symlink_to("fifo")
    if not user:
        os.mknod(place / "null", stat.S_IFCHR | 0o644, os.makedev(1, 3))
        os.mknod(place / "disk", stat.S_IFBLK | 0o644, os.makedev(7, 300))
    copying(made, user=user)
    (place / "suid").write_text("program\n")
    first = 100_000 if user else 0
    os.chown(place / "suid", first + 7, first + 8)
    (place / "suid").chmod(0o4751)
    script = "cd /mnt; stat -c '%n %F %a %u:%g %t:%T' * */*; cat suid"
    found = runtime.run_output(made, script).splitlines()
    devices = [
        "disk block special file 644 0:0 7:12c",
        "null character special file 644 0:0 1:3",
    ]
    expected = [
        "dir directory 2750 0:0 0:0",
        "fifo fifo 642 0:0 0:0",
        "link symbolic link 777 0:0 0:0",
        "socket socket 700 0:0 0:0",
        "suid regular file 4751 7:8 0:0",
        "dir/inner directory 755 0:0 0:0",
        "program",
    ]
    assert sorted(found) == sorted(expected + ([] if user else devices))


def test_a_device_that_cannot_be_made(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    (made.rootfs / "mnt/sub").mkdir()
    os.mknod(made.rootfs / "mnt/sub/null", stat.S_IFCHR, os.makedev(1, 3))
    assert_clear(runtime, runtime.create(copying(made, user=True)), "/mnt", "sub/null is a device")


def test_names_that_are_no_utf8(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    place = os.fsencode(made.rootfs / "mnt")
    os.mkdir(place + b"/\xff")
    Path(os.fsdecode(place + b"/\xff/\xfe")).write_text("found\n")
    os.symlink(b"\xff/\xfe", place + b"/link")
    assert runtime.run_output(copying(made, user=False), "cat /mnt/link") == "found\n"


def directories(at: Path, count: int) -> None:
    """So many directories, each in the one before."""
    here = os.open(at, os.O_RDONLY)
    for _ in range(count):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def remove(made: Bundle) -> None:
    """As deep as that, shutil.rmtree would not get it away."""
    subprocess.run(["rm", "-rf", made.rootfs / "mnt/d"], check=True)


def test_a_deep_tree(runtime: Runtime, bundle: MakeBundle) -> None:
    """Deeper than Python's stack, and with less descriptors than directories."""
    made = bundle()
    directories(made.rootfs / "mnt", 1500)
    script = f"test -e /mnt/{'d/' * 1500}end && echo there"
    made = copying(made, user=False).set(
        "/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]
    )
    wrapper = ("sh", "-c", 'ulimit -n 256; exec "$@"', "sh")
    try:
        assert runtime.run(made.shell(script), wrapper=wrapper).check().stdout == "there\n"
    finally:
        remove(made)


def test_deeper_than_a_path(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    directories(made.rootfs / "mnt", 2100)
    try:
        assert_clear(runtime, runtime.create(copying(made, user=False)), "/mnt", "deeper than")
    finally:
        remove(made)


def test_many_deep_directories(runtime: Runtime, bundle: MakeBundle) -> None:
    """More levels than are kept open, with something to come back for on each."""
    made = bundle()
    here = made.rootfs / "mnt"
    for _ in range(60):
        for name in ("a", "b", "c"):
            (here / name).mkdir()
            (here / name / "file").write_text("x")
        here /= "b"
    script = "find /mnt -type f | wc -l; find /mnt -type d | wc -l"
    assert runtime.run_output(copying(made, user=False), script).split() == ["180", "181"]


def test_a_mount_below(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().add_mount("/mnt/sub", "tmpfs", "tmpfs")
    assert_clear(runtime, runtime.create(copying(made, user=False)), "something is mounted")


def fill(place: Path, name: str, size: int) -> None:
    with (place / name).open("wb") as file:
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))


def test_holes_stay_holes(runtime: Runtime, bundle: MakeBundle) -> None:
    """A terabyte of nothing costs nothing, neither within a limit nor within a size."""
    made = bundle()
    place = made.rootfs / "mnt"
    with (place / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        for offset, text in ((0, b"first"), (1 << 30, b"middle"), ((1 << 39) + 77, b"last")):
            file.seek(offset)
            file.write(text)
    (place / "empty").touch()
    with (place / "hole").open("wb") as file:
        file.truncate(1 << 20)
    made.add_mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup", "size=1m"])
    made.set("/linux/resources/memory", {"limit": 64 << 20})
    script = (
        "cd /mnt; stat -c '%n %s' *; du -k sparse | cut -f1; head -c 5 sparse;"
        f" for block in {(1 << 30) // 4096} {(1 << 39) // 4096}; do"
        " dd if=sparse bs=4096 skip=$block count=1 2>/dev/null | tr -d '\\0'; done;"
        f" cmp -n {1 << 20} hole /dev/zero"
    )
    found = runtime.run_output(made, script).splitlines()
    assert found[:3] == ["empty 0", f"hole {1 << 20}", f"sparse {1 << 40}"]
    assert int(found[3]) <= 3 * 4
    assert found[4] == "firstmiddlelast"


LIMIT = {"memory": {"limit": 8 << 20}}


@pytest.mark.security
@pytest.mark.parametrize(
    ("options", "resources", "words"),
    [
        ([], LIMIT, ("linux.resources.memory.limit is 8388608",)),
        (["size=64m"], LIMIT, ("linux.resources.memory.limit is 8388608",)),
        (["size=4m"], {}, ("more than the new filesystem has room for", "size=")),
        (["nr_blocks=1024"], {}, ("more than the new filesystem has room for",)),
    ],
    ids=["memory", "both", "size", "blocks"],
)
def test_no_more_than_the_limit(
    runtime: Runtime,
    bundle: MakeBundle,
    options: list[str],
    resources: dict[str, object],
    words: tuple[str, ...],
) -> None:
    """The mount, what is too much and the limit are named, and nothing is left."""
    made = bundle()
    (made.rootfs / "mnt/sub").mkdir()
    fill(made.rootfs / "mnt/sub", "dump", 10 << 20)
    made.add_mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup", *options])
    if resources:
        made.set("/linux/resources", resources)
    assert_clear(runtime, runtime.create(made), "mounts[", "/mnt (tmpfs)", "tmpcopyup", *words)


@pytest.mark.security
def test_mounts_count_together(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    made.set("/linux/resources", LIMIT)
    for name in ("first", "second"):
        (made.rootfs / name).mkdir()
        fill(made.rootfs / name, "half", 5 << 20)
        made.add_mount(f"/{name}", "tmpfs", "tmpfs", ["tmpcopyup"])
    total = 2 * (5 << 20) + 2 * 1024
    told = f"with half of the image {total} bytes would be copied"
    assert_clear(runtime, runtime.create(made), "/second (tmpfs)", told)


@pytest.mark.security
def test_files_without_content_count(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle()
    made.set("/linux/resources", {"memory": {"limit": 1 << 20}})
    for number in range(1025):
        (made.rootfs / "mnt" / str(number)).touch()
    made.add_mount("/mnt", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert_clear(runtime, runtime.create(made), "linux.resources.memory.limit is 1048576")
