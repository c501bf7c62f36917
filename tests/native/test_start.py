"""native/start.c: what a program without a C library begins with, and what compilers call in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native.driver import CHECKOUT
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="not installed: gcc")

# So large that it is cleared and copied by memset and memcpy, which the source does not call.
PROGRAM = """
#include "native/raw.h"

struct large { char bytes[1 << 16]; };

__attribute__((noipa)) static void look(struct large *it)
{
    it->bytes[5]++;
}

_Noreturn void entry(void *stack);
__attribute__((used)) _Noreturn void entry(void *stack)
{
    struct large first = {{0}}, second;
    (void)stack;
    look(&first);
    second = first;
    look(&second);
    leave(second.bytes[5] * 10 + first.bytes[5] + second.bytes[6]);
}
"""


@pytest.mark.parametrize("whole", [[], ["-flto"]], ids=["file by file", "as a whole"])
def test_what_compilers_call_by_themselves_is_there(tmp_path: Path, whole: list[str]) -> None:
    """Also where the linker optimizes the program as a whole, and so adds calls late."""
    (tmp_path / "program.c").write_text(PROGRAM)
    command = [
        "gcc", "-O2", *whole, "-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie",
        "-fno-stack-protector", "-fno-tree-loop-distribute-patterns", "-ffunction-sections",
        "-Wl,--gc-sections", "-I", CHECKOUT, "-o", tmp_path / "program",
        CHECKOUT / "native" / "start.c", tmp_path / "program.c",
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert built.returncode == 0, built.stderr
    assert subprocess.run([tmp_path / "program"], check=False, timeout=PATIENCE).returncode == 21
