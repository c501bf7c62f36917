"""An installation with a start image of its own, and what the tests ask of it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.native.driver import CHECKOUT
from tests.support.patience import PATIENCE

PREFIX = CHECKOUT / ".venv"
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
IMAGE = f"{SITE}/ociruntime/kernel/start.image"
# Offsets in the header (native/image.h).
SIZE, INODE, TIME, PROCESSOR, DIRECTORY, COUNTS = 16, 32, 40, 96, 128, 384
SEGMENTS_AT = COUNTS + 8
SOURCES_AT, SOURCE_SIZE = SEGMENTS_AT + 240 * 32, 296
HEADER_SIZE = SOURCES_AT + 32 * SOURCE_SIZE


def run(prefix: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [prefix / "bin" / "ociruntime", *words],
        capture_output=True, text=True, timeout=PATIENCE, check=False, **options,
    )  # fmt: skip


def uses_image(prefix: Path, *before: str) -> bool:
    """Whether --version works, and without loading libpython."""
    log = prefix / "trace"
    done = subprocess.run(
        [*before, "strace", "-f", "-e", "trace=open,openat", "-o", log,
         prefix / "bin" / "ociruntime", "--version"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ociruntime version ")
    opened = log.read_text()
    assert '.py"' not in opened
    assert '.pyc"' not in opened
    return "libpython" not in opened


def flip(path: Path, offset: int) -> None:
    """Change one bit of the file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def checksum(words: bytes) -> int:
    """What native/checksum.h says."""
    total = 0x6F63697274696D67
    for (word,) in struct.iter_unpack("=Q", words):
        total = (total ^ word) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        total ^= total >> 32
    return total


def set_back(path: Path) -> None:
    """Give the image the modification time that its header tells."""
    seconds, nanoseconds = struct.unpack("=qq", path.read_bytes()[TIME : TIME + 16])
    time = seconds * 10**9 + nanoseconds
    os.utime(path, ns=(time, time))


def change(path: Path, offset: int) -> None:
    """Change one bit of the header as if the image had been made so."""
    flip(path, offset)
    with path.open("r+b") as file:
        header = file.read(HEADER_SIZE)
        file.seek(8)
        file.write(struct.pack("=Q", checksum(header[SIZE:])))
    set_back(path)


def segments(path: Path) -> list[int]:
    """The addresses of the image's segments (struct image_header)."""
    header = path.read_bytes()[:SOURCES_AT]
    count = struct.unpack_from("=I", header, COUNTS + 4)[0]
    places = (SEGMENTS_AT + 32 * number for number in range(count))
    return [struct.unpack_from("=Q", header, place)[0] for place in places]


def sources(path: Path) -> dict[str, tuple[int, bool]]:
    """The libraries that the image was made of: where the entry is, whether it is vital."""
    header = path.read_bytes()[:HEADER_SIZE]
    found = {}
    for number in range(struct.unpack_from("=I", header, COUNTS)[0]):
        place = SOURCES_AT + SOURCE_SIZE * number
        name = header[place : place + 256].rstrip(b"\0").decode()
        found[name] = (place, header[place + 256] == 1)
    return found
