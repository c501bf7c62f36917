"""`make dev` replaces the extension module, which other processes have mapped, by another file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
NAME = "_sys.cpython-311-x86_64-linux-gnu.so"


def test_who_has_mapped_it_keeps_it(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    build, package, programs = (tmp_path / name for name in ("build", "ociruntime/kernel", "bin"))
    for directory in (build, package, programs):
        directory.mkdir(parents=True)
    meson = programs / "meson"
    meson.write_text("#!/bin/sh\n")
    meson.chmod(0o755)
    (build / "build.ninja").touch()
    (build / NAME).write_text("new")
    (package / NAME).write_text("old")
    with (package / NAME).open() as mapped:
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        command = ["make", "-C", tmp_path, "dev"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert mapped.read() == "old"
    assert (package / NAME).read_text() == "new"
    assert [path.name for path in package.iterdir()] == [NAME]
