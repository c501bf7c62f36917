"""An installation with a start image of its own, and what the tests ask of it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

from tests.native.driver import CHECKOUT

PREFIX = CHECKOUT / ".venv"
SITE = "lib/python3.11/site-packages"
IMAGE = f"{SITE}/ociruntime/kernel/start.image"
# Offsets in the header (native/image.h).
PROCESSOR, DIRECTORY, SOURCES_AT, SOURCE_SIZE = 40, 72, 336 + 240 * 32, 296


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


def change(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def segments(path: Path) -> list[int]:
    """The addresses of the image's segments (struct image_header)."""
    header = path.read_bytes()[:SOURCES_AT]
    count = struct.unpack_from("=I", header, 332)[0]
    return [struct.unpack_from("=Q", header, 336 + 32 * number)[0] for number in range(count)]


def sources(path: Path) -> dict[str, tuple[int, bool]]:
    """The libraries that the image was made of: where the entry is, whether it is vital."""
    header = path.read_bytes()[: SOURCES_AT + 32 * SOURCE_SIZE]
    found = {}
    for number in range(struct.unpack_from("=I", header, 328)[0]):
        place = SOURCES_AT + SOURCE_SIZE * number
        name = header[place : place + 256].rstrip(b"\0").decode()
        found[name] = (place, header[place + 256] == 1)
    return found
