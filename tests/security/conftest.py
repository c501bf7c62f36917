"""Fixtures of the attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.verdict import HostPrograms

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def host_programs(runtime_binary: Path) -> Iterator[HostPrograms]:
    """The runtime, its interpreter and helpers: unchanged when the test ends."""
    programs = HostPrograms(runtime_binary)
    yield programs
    programs.check()


@pytest.fixture(scope="session")
def race_seconds(request: pytest.FixtureRequest) -> float:
    """The longest time of one race, in seconds."""
    return float(request.config.getoption("--race-seconds"))
