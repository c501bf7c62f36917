"""Reading and checking a config costs little and imports nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .documents import CHECKOUT, MINIMAL, corpus, encoded

ALLOWED = {
    "_collections_abc", "_json", "_stat", "errno", "genericpath", "os", "os.path", "posix",
    "posixpath", "stat", "_abc", "abc", "io", "_io", "codecs", "encodings", "encodings.aliases",
    "encodings.utf_8", "_codecs", "_signal", "time", "sys", "builtins", "_thread", "_weakref",
    "_warnings", "marshal", "zipimport", "_imp", "__main__", "__future__",
    "_frozen_importlib", "_frozen_importlib_external",
}  # fmt: skip

PROGRAM = """
import sys
bare = set(sys.modules)  # -c has an interpreter of Python 3.13 load more than others do
sys.path.insert(0, sys.argv[1])
from time import perf_counter_ns
before = perf_counter_ns()
from ociruntime.bundle import open_bundle
from ociruntime.spec import load
from ociruntime.spec.mount_options import parse
imported = perf_counter_ns()
with open_bundle(sys.argv[2]) as bundle:
    raw, document = bundle.read_config()
    read = perf_counter_ns()
    load(raw, document, source="config.json")
    checked = perf_counter_ns()
    times = []
    for _ in range(int(sys.argv[3])):
        start = perf_counter_ns()
        raw, document = bundle.read_config()
        middle = perf_counter_ns()
        load(raw, document, source="config.json")
        times.append((middle - start, perf_counter_ns() - middle))
print(*sorted(set(sys.modules) - bare))
print(imported - before, read - imported, checked - read)
for column in zip(*times):
    print(sorted(column)[len(column) // 2])
"""


def run(bundle: Path, repeats: int) -> list[str]:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(CHECKOUT), str(bundle), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    return done.stdout.splitlines()


def test_imports(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(encoded(MINIMAL))
    modules = set(run(tmp_path, 1)[0].split())
    assert {name for name in modules if not name.startswith("ociruntime")} <= ALLOWED
    cold = {f"ociruntime.spec.{name}" for name in ("explain", "locate", "walk", "schema", "report")}
    assert not modules & cold


def test_speed(tmp_path: Path) -> None:
    """Printed, not asserted: pytest -s shows it."""
    configs = [path for path in corpus() if path.name.startswith("docker")]
    (tmp_path / "config.json").write_bytes(configs[0].read_bytes())
    lines = run(tmp_path, 300)
    imports, first_read, first_check = (int(number) / 1000 for number in lines[1].split())
    read, check = int(lines[2]) / 1000, int(lines[3]) / 1000
    sys.stdout.write(
        f"\n{len(configs[0].read_bytes())} bytes: import {imports:.0f} us, first read"
        f" {first_read:.0f} us, first check {first_check:.0f} us; median of 300: read"
        f" {read:.0f} us, check {check:.0f} us\n"
    )
