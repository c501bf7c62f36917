"""The probe: a static C program that does inside a container what busybox cannot."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.support.runtime import TIMEOUT

SOURCE = Path(__file__).with_name("probe.c")


def build_probe(directory: Path) -> Path:
    """Compile probe.c into `directory` once, whoever comes first (xdist workers share it).

    Raises FileNotFoundError without a C compiler and CalledProcessError when it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler; install gcc and libc6-dev")
    program = directory / "probe"
    with (directory / "probe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            partial = directory / "probe.partial"
            subprocess.run(
                [compiler, "-static", "-O1", "-pthread", "-Wall", "-Wextra", "-o", partial, SOURCE],
                check=True,
                timeout=3 * TIMEOUT,
            )
            partial.rename(program)
    return program
