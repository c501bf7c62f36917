"""The stored configuration of a container that somebody else deletes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ociruntime.errors import NotFound
from ociruntime.state.store import DamagedStateError, Store


def test_a_configuration_that_goes_away(tmp_path: Path) -> None:
    """exec beside delete: a clear answer, whichever file went first."""
    container = Store(str(tmp_path)).claim("c1")
    try:
        container.store_config(b"{}")
        container.save()
        directory = tmp_path / "c1"
        (directory / "config.json").unlink()
        with pytest.raises(DamagedStateError, match="is missing"):
            container.config()
        for path in directory.iterdir():
            path.unlink()
        with pytest.raises(NotFound):
            container.config()
        directory.rmdir()
        with pytest.raises(NotFound):
            container.config()
    finally:
        container.close()
