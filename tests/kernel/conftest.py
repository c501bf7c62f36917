"""Fixtures of several of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime import api
from tests.support.sandbox import Sandbox


@pytest.fixture
def library(runtime_binary: Path, sandbox: Sandbox) -> Iterator[api.Runtime]:
    """The library, with this test's runtime and state directory."""
    with api.Runtime(sandbox.root, launcher=runtime_binary) as made:
        yield made
