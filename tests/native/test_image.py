"""The start image: used when it fits and never when it does not, and nobody sees a difference."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.native.driver import CHECKOUT

PREFIX = CHECKOUT / ".venv"
SITE = "lib/python3.11/site-packages"
IMAGE = f"{SITE}/ociruntime/kernel/start.image"
# Offsets in the header (native/image.h).
PROCESSOR, DIRECTORY = 40, 72

pytestmark = [
    pytest.mark.skipif(not (PREFIX / IMAGE).exists(), reason="no start image: run `make build`"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace"),
]


@pytest.fixture
def prefix() -> Iterator[Path]:
    """An installation of our own with an image of its own, where every user can reach it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "bin").mkdir()
        shutil.copy2(PREFIX / "bin" / "ociruntime", place / "bin")
        target = place / SITE / "ociruntime"
        ignored = shutil.ignore_patterns("start.image*", "__pycache__")
        shutil.copytree(PREFIX / SITE / "ociruntime", target, ignore=ignored)
        made = run(place, "--make-image")
        assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
        yield place


def run(prefix: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [prefix / "bin" / "ociruntime", *words],
        capture_output=True, text=True, timeout=30, check=False, **options,
    )  # fmt: skip


def uses_image(prefix: Path, *before: str) -> bool:
    """Whether --version works, and without loading libpython."""
    log = prefix / "trace"
    done = subprocess.run(
        [*before, "strace", "-f", "-e", "trace=open,openat", "-o", log,
         prefix / "bin" / "ociruntime", "--version"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ociruntime version ")
    opened = log.read_text()
    assert '.py"' not in opened
    assert '.pyc"' not in opened
    return "libpython" not in opened


def test_it_is_used(prefix: Path) -> None:
    assert uses_image(prefix)


@pytest.mark.security
@pytest.mark.parametrize("verb", ["create", "run", "exec", "shim", "zygote"])
def test_who_enters_containers_is_sealed_before(prefix: Path, verb: str) -> None:
    """The image is entered by the copy in memory, never by the file on the disk (CVE-2019-5736)."""
    done = subprocess.run(
        ["strace", "-e", "trace=execve,execveat,openat,fcntl", prefix / "bin" / "ociruntime", verb],
        capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
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


def test_long_commands_take_a_huge_page(prefix: Path) -> None:
    """What they change anyway is copied in one go; short commands and resident ones copy what they
    need.
    """
    for verb, copies in (("run", True), ("state", False), ("zygote", False), ("shim", False)):
        done = subprocess.run(
            ["strace", "-e", "trace=madvise,pread64", prefix / "bin" / "ociruntime", verb],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert "ociruntime" in done.stderr.splitlines()[-2]
        huge = re.search(r"madvise\(0x[0-9a-f]*[02468ace]00000, 2097152, MADV_HUGEPAGE\) = 0\n"
                         r"pread64\(3, .* 2097152, \d+\) = 2097152\n", done.stderr)  # fmt: skip
        assert bool(huge) == copies


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


def test_another_processor_starts_without(prefix: Path) -> None:
    change(prefix / IMAGE, PROCESSOR)
    assert not uses_image(prefix)


@pytest.mark.parametrize("where", [0, DIRECTORY])
def test_a_strange_header_starts_without(prefix: Path, where: int) -> None:
    change(prefix / IMAGE, where)
    assert not uses_image(prefix)


@pytest.mark.parametrize("length", [0, 100, 8192, -4096])
def test_a_short_image_is_not_mapped(prefix: Path, length: int) -> None:
    image = prefix / IMAGE
    os.truncate(image, length if length >= 0 else image.stat().st_size + length)
    assert not uses_image(prefix)


def test_addresses_in_use_start_without(prefix: Path) -> None:
    """With the bottom-up layout of mappings, libraries may lie where the image should."""
    for _ in range(3):
        uses_image(prefix, "setarch", "--addr-compat-layout")
    uses_image(prefix, "setarch", "--addr-no-randomize", "--addr-compat-layout")


def test_no_memory_starts_without_or_says_so(prefix: Path) -> None:
    for megabytes in (16, 24, 32, 48, 64):
        done = subprocess.run(
            ["sh", "-c", f"ulimit -v {megabytes * 1024}; exec {prefix}/bin/ociruntime --version"],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or "memory" in done.stderr or "map" in done.stderr


def test_each_installation_has_its_own_addresses(prefix: Path) -> None:
    first = segments(prefix / IMAGE)
    assert run(prefix, "--make-image").returncode == 0
    assert first[0] != segments(prefix / IMAGE)[0]


def test_the_image_knows_nothing_of_who_made_it(prefix: Path) -> None:
    made = run(prefix, "--make-image", env={**os.environ, "A_SECRET": "of-the-one-who-made-it"})
    assert made.returncode == 0
    assert b"of-the-one-who-made-it" not in (prefix / IMAGE).read_bytes()


def test_it_is_replaced_at_once(prefix: Path) -> None:
    before = (prefix / IMAGE).stat().st_ino
    assert run(prefix, "--make-image").returncode == 0
    assert (prefix / IMAGE).stat().st_ino != before
    assert [path.name for path in (prefix / IMAGE).parent.glob("start.image*")] == ["start.image"]
    assert (prefix / IMAGE).stat().st_mode & 0o777 == 0o644


def test_the_environment_is_the_callers(prefix: Path) -> None:
    """Where a user's containers are comes from XDG_RUNTIME_DIR."""
    if os.geteuid() != 0:
        pytest.skip("becomes another user: needs root")
    for name in ("first", "second"):
        seen = subprocess.run(
            ["setpriv", "--reuid=1234", "--clear-groups", "strace", "-f", "-e", "trace=%file",
             prefix / "bin" / "ociruntime", "list", "-q"],
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"/nowhere/{name}"},
            capture_output=True, text=True, timeout=30, check=False, cwd="/",
        )  # fmt: skip
        assert not re.search(r"open\w*\(.*libpython", seen.stderr)
        assert f'"/nowhere/{name}/ociruntime' in seen.stderr


def test_a_command_that_needs_more_than_the_core_completes_it(prefix: Path) -> None:
    """`features` imports what is no part of an image."""
    done = run(prefix, "features")
    assert done.returncode == 0, done.stderr
    assert '"ociVersionMax"' in done.stdout


def test_it_cannot_be_dumped_from_an_ordinary_process(prefix: Path) -> None:
    done = run(prefix, "--dump-image")
    assert done.returncode == 1
    assert done.stderr.startswith("ociruntime: cannot write the start image: ")
    assert re.fullmatch(r"[^\n]*\n", done.stderr)


def test_a_directory_that_cannot_be_written(prefix: Path) -> None:
    image = prefix / IMAGE
    image.unlink()
    image.mkdir()
    (image / "full").touch()
    done = run(prefix, "--make-image")
    assert done.returncode == 1
    assert re.fullmatch(r"ociruntime: cannot write the start image: [^\n]*\n", done.stderr)
    assert [path.name for path in image.parent.glob("start.image*")] == ["start.image"]


def change(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def segments(path: Path) -> list[int]:
    """The addresses of the image's segments (struct image_header)."""
    header = path.read_bytes()[:8192]
    sources, count = struct.unpack_from("=II", header, 328)
    assert 0 < sources <= 6
    start = 336 + 6 * 288
    return [struct.unpack_from("=Q", header, start + 32 * number)[0] for number in range(count)]
