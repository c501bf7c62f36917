"""Small C programs of the tests, static: they run in any root file system."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE


def compiled(name: str, factory: pytest.TempPathFactory) -> Path:
    """Compile tests/support/NAME.c once for a session, whoever of xdist's workers comes first.

    Raises FileNotFoundError without a C compiler and CalledProcessError when it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler; install gcc and libc6-dev")
    base = factory.getbasetemp()
    directory = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    source, program = Path(__file__).with_name(f"{name}.c"), directory / name
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            partial = directory / f"{name}.partial"
            options = ("-static", "-O1", "-pthread", "-Wall", "-Wextra")
            command = [compiler, *options, "-o", partial, source]
            subprocess.run(command, check=True, timeout=3 * PATIENCE)
            partial.rename(program)
    return program
