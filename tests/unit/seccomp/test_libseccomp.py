"""A host that lacks what libseccomp is called with."""

from __future__ import annotations

import importlib
import sys

import pytest

from ociruntime.errors import OciError
from ociruntime.features import versions


@pytest.fixture
def without_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where libffi is missing: _ctypes is linked against it."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.delitem(sys.modules, "ociruntime.kernel.libseccomp", raising=False)


@pytest.mark.usefixtures("without_ctypes")
def test_missing_libffi_is_one_clear_line() -> None:
    with pytest.raises(OciError, match=r"linux\.seccomp: .*install the package libffi"):
        importlib.import_module("ociruntime.kernel.libseccomp")


@pytest.mark.usefixtures("without_ctypes")
def test_features_can_be_told_nevertheless() -> None:
    assert "io.github.seccomp.libseccomp.version" not in versions()
