"""The hot path imports nothing but builtin modules and ours: start-up time is a feature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__import__("ociruntime").__file__).parent

# What an isolated interpreter itself brings, and what docs/architecture.md allows.
ALLOWED = {
    "__future__",
    "_blake2",
    "_json",
    "_struct",
    "_socket",
    "_signal",
    "_posixsubprocess",
    "_sha256",
    "_sha2",  # since Python 3.12
    "binascii",
    "errno",
    "fcntl",
    "gc",
    "marshal",
    "select",
    "time",
}
PROBE = """
import sys
for name in ("os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc"):
    sys.modules.pop(name, None)
before = set(sys.modules)
sys.path.insert(0, {parent!r})
import ociruntime.cli.main
import ociruntime.cli.{verb}
print("\\n".join(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("verb", ["create", "start", "state", "kill", "delete", "exec", "run"])
def test_verb_imports_only_builtin_modules_and_ours(verb: str) -> None:
    code = PROBE.format(parent=str(PACKAGE.parent), verb=verb)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    foreign = {
        name
        for name in done.stdout.split()
        if not name.startswith("ociruntime") and name not in ALLOWED
    }
    assert not foreign
    assert "ociruntime.checkpoint" not in done.stdout.split()


@pytest.mark.parametrize("verb", ["checkpoint", "restore", "mounts"])
def test_verbs_that_the_start_image_has(verb: str) -> None:
    """Who asks CRIU for something does not wait for modules of ours before."""
    code = PROBE.format(parent=str(PACKAGE.parent), verb=verb)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    names = [name for name in done.stdout.split() if not name.startswith("ociruntime")]
    assert set(names) <= ALLOWED


@pytest.mark.parametrize(("package", "verb"), [("shim", "shim"), ("network", "net")])
def test_others_that_are_started_for_each_container(package: str, verb: str) -> None:
    """They import only builtin modules and ours, so the start image has them: shim, hook, plugins.

    The shim neither waits for its modules nor holds a copy of them, and the hook, of which a
    container needs two, starts in a quarter of the time.
    """
    modules = sorted((PACKAGE / package).glob("[!_]*.py"))
    names = [f"ociruntime.{package}.{path.stem}" for path in modules]
    code = PROBE.format(parent=str(PACKAGE.parent), verb=verb) + f"import {', '.join(names)}\n"
    code += 'print("\\n".join(sorted(set(sys.modules) - before)))'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert set(names) <= loaded
    # _signal crashes without the whole interpreter (native/bootstrap.py).
    foreign = {name for name in loaded if not name.startswith("ociruntime")}
    assert not foreign - ALLOWED | foreign & {"_signal"}


@pytest.mark.parametrize("verb", ["start", "state", "kill"])
def test_light_verbs_do_not_load_the_planner(verb: str) -> None:
    code = PROBE.format(parent=str(PACKAGE.parent), verb=verb)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert "ociruntime.plan.build" not in loaded
    assert "ociruntime.spec.config_check" not in loaded
