"""Fixtures of the tests about groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cgroups.fake import FakeCgroups


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCgroups]:
    """Hierarchies of its own for each test; groups that a test leaves open are closed."""
    yield FakeCgroups(tmp_path)
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith(str(tmp_path)):
                os.close(int(name))
        except OSError:
            continue  # the directory's own descriptor
