"""The start image: used when it fits and never when it does not, and nobody sees a difference."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native.installed import (
    DIRECTORY,
    IMAGE,
    PREFIX,
    PROCESSOR,
    SITE,
    change,
    run,
    segments,
    sources,
    uses_image,
)
from tests.support.patience import PATIENCE

pytestmark = [
    pytest.mark.skipif(not (PREFIX / IMAGE).exists(), reason="no start image: run `make build`"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace"),
]


def test_it_is_used(prefix: Path) -> None:
    assert uses_image(prefix)


@pytest.mark.security
@pytest.mark.parametrize("verb", ["create", "run", "shim", "zygote"])
def test_who_enters_containers_is_sealed_before(prefix: Path, verb: str) -> None:
    """The image is entered by the copy in memory, never by the file on the disk (CVE-2019-5736)."""
    done = subprocess.run(
        ["strace", "-e", "trace=execve,execveat,openat,fcntl", prefix / "bin" / "ociruntime", verb],
        capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    calls = done.stderr.splitlines()
    sealed, executed, image = (
        next(number for number, call in enumerate(calls) if re.search(pattern, call))
        for pattern in (
            "F_ADD_SEALS, .*F_SEAL_WRITE.* = 0",
            r"execveat\(.* = 0",
            "start.image.* = ",
        )
    )
    assert sealed < executed < image


def _memory_calls(prefix: Path, *words: str) -> str:
    """What a command does about its memory before it runs."""
    return subprocess.run(
        ["strace", "-e", "trace=mmap,munmap,madvise", prefix / "bin" / "ociruntime", *words],
        capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
    ).stderr  # fmt: skip


def _huge_pages(calls: str) -> list[int]:
    """Where huge pages were taken; skips where the kernel has none to give at the moment."""
    if re.search(r"^munmap\(0x[0-9a-f]+, 2097152\)", calls, re.MULTILINE):
        pytest.skip("the kernel gives no huge page")
    return [int(place, 16) for place in re.findall(r"madvise\((\w+), 2097152, MADV_HUGEP", calls)]


@pytest.mark.parametrize(
    ("verb", "count"), [("run", 3), ("exec", 3), ("state", 1), ("zygote", 0), ("shim", 0)]
)
def test_commands_take_huge_pages(prefix: Path, verb: str, count: int) -> None:
    """What they change anyway is copied in one go, one page behind the other, and nothing is mapped
    over them; resident ones copy what they need.
    """
    calls = _memory_calls(prefix, verb)
    pages = _huge_pages(calls)
    assert len(pages) == count
    assert [page - pages[0] for page in pages] == [number << 21 for number in range(count)]
    mapped = [int(place, 16) for place in re.findall(r"mmap\((0x\w+), .*FIXED", calls)]
    inside = [place for place in mapped if pages and pages[0] <= place < pages[-1] + (1 << 21)]
    assert inside == pages


def test_boundaries_of_huge_pages_are_the_files_too(prefix: Path) -> None:
    """So that the kernel can map by huge pages what begins at one, as objects do; code does where
    the kernel has put it there.
    """
    calls = _memory_calls(prefix, "zygote")
    found = re.findall(r"mmap\((0x\w+), \d+, [A-Z_|]+, [A-Z_|]+, 3, (0x\w+)\) = ", calls)
    mapped = [(int(place, 16), int(offset, 16)) for place, offset in found]
    offsets = [offset for place, offset in mapped if place % (1 << 21) == 0]
    assert offsets
    assert [offset for offset in offsets if offset % (1 << 21)] == []


def _forget(image: Path) -> bool:
    """Let the kernel drop what it has of the file in memory; False where it keeps it."""
    library = ctypes.CDLL(None, use_errno=True)
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        os.fsync(file.fileno())
        pages = len(mapped) // mmap.PAGESIZE
        place = ctypes.c_char.from_buffer(mapped)
        state = (ctypes.c_ubyte * pages)()
        for _ in range(100):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            where = ctypes.c_void_p(ctypes.addressof(place))
            assert library.mincore(where, ctypes.c_size_t(pages * mmap.PAGESIZE), state) == 0
            if not any(page & 1 for page in state):
                break
        del place
        return not any(page & 1 for page in state)


def test_a_cold_image_is_read_at_once(prefix: Path) -> None:
    """As after a boot; single pages would make each later command slower."""
    if not _forget(prefix / IMAGE):
        pytest.skip("this file system keeps its files in memory")
    assert "MADV_POPULATE_READ" in _memory_calls(prefix, "state")
    assert uses_image(prefix)
    assert "MADV_POPULATE_READ" not in _memory_calls(prefix, "state")


def test_a_moved_installation_starts_without(prefix: Path) -> None:
    moved = prefix / "moved"
    shutil.copytree(prefix, moved, ignore=shutil.ignore_patterns("moved"))
    assert not uses_image(moved)
    assert run(moved, "--make-image").returncode == 0
    assert uses_image(moved)


def test_another_version_of_the_library_starts_without(prefix: Path) -> None:
    library = next((prefix / SITE / "ociruntime" / "kernel").glob("_sys.*.so"))
    os.utime(library, ns=(1, 1))
    assert not uses_image(prefix)


def test_every_library_in_it_is_compared(prefix: Path) -> None:
    """And --debug names the one that has changed."""
    image = prefix / IMAGE
    found = sources(image)
    names = " ".join(found)
    for part in ("/libc.so", "/libpython3.", "/_sys."):
        assert part in names
    assert [name for name, (_, vital) in found.items() if vital] == [
        name for name in found if "/libpython3." in name
    ]
    assert "the start image\n" in run(prefix, "image").stdout
    for name, (place, _) in found.items():
        change(image, place + 256 + 16)  # its size
        assert not uses_image(prefix)
        said = f"started without a start image: {name} has changed since the image was made; "
        assert said in run(prefix, "--debug", "state", "none").stderr
        assert run(prefix, "image").stdout == f"{said}`ociruntime image refresh` makes one\n"
        change(image, place + 256 + 16)
    assert uses_image(prefix)


def test_it_is_refreshed(prefix: Path) -> None:
    (prefix / IMAGE).unlink()
    assert "without a start image: there is none" in run(prefix, "image", "show").stdout
    done = run(prefix, "image", "refresh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert uses_image(prefix)
    before = (prefix / IMAGE).stat().st_ino
    assert run(prefix, "image", "refresh").returncode == 0  # from the image itself
    assert (prefix / IMAGE).stat().st_ino != before


@pytest.mark.parametrize("words", [["refresh", "now"], ["make"]])
def test_image_takes_one_word(prefix: Path, words: list[str]) -> None:
    done = run(prefix, "image", *words)
    assert done.returncode != 0
    assert done.stderr == "ociruntime: image: show (default) or refresh\n"


def test_why_there_is_none_is_told_and_not_inherited(prefix: Path) -> None:
    for change_it, reason in (
        (lambda: change(prefix / IMAGE, PROCESSOR), "it was made on another processor"),
        (lambda: change(prefix / IMAGE, DIRECTORY), "it was made for another directory"),
        (lambda: change(prefix / IMAGE, 0), "it is damaged, or of another version of ociruntime"),
    ):
        assert run(prefix, "--make-image").returncode == 0
        change_it()
        assert f"image: {reason}; " in run(prefix, "image").stdout


def test_standard_streams_are_the_callers(prefix: Path) -> None:
    """Not those of the process that made the image."""
    made = run(prefix, "--make-image", stdin=subprocess.DEVNULL)
    assert made.returncode == 0
    document = b'{"ociVersion": "1.2.0", "process": 7}'
    done = subprocess.run(
        [prefix / "bin" / "ociruntime", "validate", "-"],
        input=document, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert b"/process" in done.stdout
    assert uses_image(prefix)


def test_another_processor_starts_without(prefix: Path) -> None:
    change(prefix / IMAGE, PROCESSOR)
    assert not uses_image(prefix)


@pytest.mark.parametrize("where", [0, DIRECTORY])
def test_a_strange_header_starts_without(prefix: Path, where: int) -> None:
    change(prefix / IMAGE, where)
    assert not uses_image(prefix)


def test_addresses_in_use_start_without(prefix: Path) -> None:
    """With the bottom-up layout of mappings, libraries may lie where the image should."""
    for _ in range(3):
        uses_image(prefix, "setarch", "--addr-compat-layout")
    uses_image(prefix, "setarch", "--addr-no-randomize", "--addr-compat-layout")


def test_no_memory_starts_without_or_says_so(prefix: Path) -> None:
    for megabytes in range(8, 65, 4):
        done = subprocess.run(
            ["sh", "-c", f"ulimit -v {megabytes * 1024}; exec {prefix}/bin/ociruntime --version"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        words = done.stderr.lower()  # "MemoryError" is one of Python's
        assert done.returncode == 0 or "memory" in words or "rlimit_as" in words, words


def test_each_installation_has_its_own_addresses(prefix: Path) -> None:
    first = segments(prefix / IMAGE)
    assert run(prefix, "--make-image").returncode == 0
    assert first[0] != segments(prefix / IMAGE)[0]


def test_the_image_knows_nothing_of_who_made_it(prefix: Path) -> None:
    made = run(prefix, "--make-image", env={**os.environ, "A_SECRET": "of-the-one-who-made-it"})
    assert made.returncode == 0
    assert b"of-the-one-who-made-it" not in (prefix / IMAGE).read_bytes()


def test_the_environment_is_the_callers(prefix: Path) -> None:
    """Where a user's containers are comes from XDG_RUNTIME_DIR."""
    if os.geteuid() != 0:
        pytest.skip("becomes another user: needs root")
    for name in ("first", "second"):
        seen = subprocess.run(
            ["setpriv", "--reuid=1234", "--clear-groups", "strace", "-f", "-e", "trace=%file",
             prefix / "bin" / "ociruntime", "list", "-q"],
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"/nowhere/{name}"},
            capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/",
        )  # fmt: skip
        assert not re.search(r"open\w*\(.*libpython", seen.stderr)
        assert f'"/nowhere/{name}/ociruntime' in seen.stderr


def test_a_command_may_need_what_is_not_in_the_image(prefix: Path) -> None:
    """`features` imports what no image has."""
    done = run(prefix, "features")
    assert done.returncode == 0, done.stderr
    assert '"ociVersionMax"' in done.stdout


def test_it_cannot_be_dumped_from_an_ordinary_process(prefix: Path) -> None:
    done = run(prefix, "--dump-image")
    assert done.returncode == 1
    assert done.stderr.startswith("ociruntime: cannot write the start image: ")
    assert re.fullmatch(r"[^\n]*\n", done.stderr)
