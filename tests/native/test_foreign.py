"""The programs without a C library link for the other architecture, too.

A compiler may call what only libgcc or a C library has (atomic operations, memset); what it calls
differs from one architecture to the next. Here each is linked to nothing but our own objects.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.driver import CHECKOUT
from tests.support.patience import PATIENCE

COMPILER = "aarch64-linux-gnu-gcc"
PROGRAMS = ("ociruntime", "oci-copy", "oci-exec", "oci-init", "oci-setup")
MACHINE = f"""
[binaries]
c = {COMPILER!r}
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
"""


@pytest.mark.skipif(not shutil.which(COMPILER), reason=f"no {COMPILER}: `make test` installs it")
def test_programs_link_for_arm64(tmp_path: Path) -> None:
    (tmp_path / "arm64.ini").write_text(MACHINE)
    build = tmp_path / "build"
    meson = Path(sys.executable).with_name("meson")
    for command in (
        [meson, "setup", "--cross-file", tmp_path / "arm64.ini", build, CHECKOUT],
        [meson, "compile", "-C", build, *PROGRAMS],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for name in PROGRAMS:
        header = (build / name).read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64, elf(5)
