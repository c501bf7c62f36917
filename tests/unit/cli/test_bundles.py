"""The example bundles: valid, listed, and built completely or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundles import rootfs
from bundles.__main__ import main
from bundles.recipes import RECIPES
from ociruntime.spec import load

from ..spec.documents import CHECKOUT
from .test_plan import ROOT, USER, planned


@pytest.mark.parametrize("name", RECIPES)
def test_valid_and_plannable(name: str) -> None:
    config = RECIPES[name]()
    assert load(json.dumps(config).encode(), config, source="config.json") == []
    planned(config, USER if name == "rootless" else ROOT)


def test_build(tmp_path: Path) -> None:
    bundle = tmp_path / "new" / "hello"
    command = [str(CHECKOUT / "bundles" / "make"), "hello", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert done.stderr == ""
    assert json.loads((bundle / "config.json").read_text()) == RECIPES["hello"]()
    busybox = bundle / "rootfs" / "bin" / "busybox"
    assert not busybox.is_symlink()
    assert os.stat(busybox).st_nlink == 1
    assert os.readlink(bundle / "rootfs" / "bin" / "sh") == "busybox"
    assert os.stat(bundle / "rootfs" / "tmp").st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize("name", ["hello", "net-bridge"])
def test_what_is_built_once_is_enough(name: str, tmp_path: Path) -> None:
    """`make build` compiles nothing within the checkout, which bundles/make runs from."""
    program = (
        "import sys; sys.modules['ociruntime.kernel._sys'] = None; import bundles.__main__ as b"
    )
    command = [sys.executable, "-c", f"{program}; sys.exit(b.main(sys.argv[1:]))", name]
    subprocess.run([*command, str(tmp_path / name)], cwd=CHECKOUT, check=True)
    assert (tmp_path / name / "config.json").exists()


def test_the_compiled_package_is_used(tmp_path: Path) -> None:
    """The checkout's own after `make dev`, else the one that `make build` has installed."""
    installed = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages" / "ociruntime"
    for package in ("bundles", "ociruntime/kernel", str(installed)):
        (tmp_path / package).mkdir(parents=True)
    for package in (tmp_path / "bundles", tmp_path / "ociruntime", installed):
        (package / "__init__.py").touch()
    make = tmp_path / "bundles" / "make"
    shutil.copy(CHECKOUT / "bundles" / "make", make)
    (tmp_path / "bundles" / "__main__.py").write_text(
        "import ociruntime; print(ociruntime.__file__)"
    )
    for package in (installed, tmp_path / "ociruntime"):
        done = subprocess.run([make], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout == f"{package / '__init__.py'}\n"
        (tmp_path / "ociruntime" / "kernel" / "_sys.cpython-311.so").touch()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in RECIPES)
    assert main(["nonsense", "/x"]) == 2
    assert main(["hello"]) == 2


def test_what_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("x")
    assert main(["hello", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("existed", [True, False])
def test_nothing_half_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    existed: bool,
) -> None:
    bundle = tmp_path / "bundle"
    if existed:
        bundle.mkdir()
    monkeypatch.setattr(rootfs, "SEARCHED", str(tmp_path))
    assert main(["hello", str(bundle)]) == 1
    assert "busybox-static" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == ([bundle] if existed else [])


def test_busybox_with_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").symlink_to(os.path.realpath("/bin/ls"))
    monkeypatch.setattr(rootfs, "SEARCHED", str(tmp_path))
    with pytest.raises(rootfs.RootfsError, match="shared libraries"):
        rootfs.find_busybox()
