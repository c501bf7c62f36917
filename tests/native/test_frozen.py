"""The installed launcher starts from memory: no module of ours is read from a file."""

from __future__ import annotations

import ast
import importlib.machinery
import re
import shutil
import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from tests.native.driver import CHECKOUT
from tests.support.patience import PATIENCE

INSTALLED = CHECKOUT / ".venv" / "bin" / "ociruntime"


@pytest.mark.skipif(not INSTALLED.exists(), reason="not installed: run `make build`")
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_no_module_is_opened(tmp_path: Path) -> None:
    log = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-e", "trace=open,openat", "-o", log, INSTALLED, "--version"],
        check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    opened = re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)"', log.read_text())
    assert any(path.endswith((".so.1.0", "start.image")) for path in opened), "an interpreter"
    sources = [path for path in opened if path.endswith((".py", ".pyc"))]
    assert not sources, sources


@pytest.mark.skipif(not INSTALLED.exists(), reason="not installed: run `make build`")
def test_frozen_modules_are_the_sources() -> None:
    """Each frozen module of the wheel comes from a file of the package, and none is missing."""
    header = CHECKOUT / "build" / "wheel" / "frozen.h"
    frozen = re.findall(r'\.name = "(ociruntime[\w.]*)"', header.read_text())
    package = CHECKOUT / "ociruntime"
    paths = (path.relative_to(CHECKOUT).with_suffix("") for path in package.rglob("*.py"))
    names = {str(path).replace("/", ".").removesuffix(".__init__") for path in paths}
    assert set(frozen) == names


def test_no_annotation_is_evaluated() -> None:
    """Their names are not imported at run time."""
    loader = importlib.machinery.SourceFileLoader("freeze", str(CHECKOUT / "native" / "freeze.py"))
    freeze: Any = types.ModuleType("freeze")
    freeze.__file__ = loader.path
    loader.exec_module(freeze)
    sources = freeze.package_sources(str(CHECKOUT / "ociruntime"))
    assert len(sources) > 200
    for name, source in sources.items():
        if freeze.imported_roots(source.tree) & freeze.ANNOTATION_READERS:
            continue
        for node in ast.walk(source.tree):
            for field in ("annotation", "returns"):
                assert getattr(node, field, None) is None, (name, ast.dump(node))
