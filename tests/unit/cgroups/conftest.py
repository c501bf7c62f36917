"""Fixtures of the tests about groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cgroups.fake import FakeCgroups


@pytest.fixture
def fake(tmp_path: Path) -> FakeCgroups:
    """Hierarchies of its own for each test."""
    return FakeCgroups(tmp_path)
