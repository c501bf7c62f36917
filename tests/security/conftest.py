"""Fixtures of the guards' tests, which judge ociruntime and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.verdict import HostPrograms

MakeBundle = Callable[..., Bundle]


@pytest.fixture(scope="session")
def runtime_binary(runtime_binary: Path) -> Path:
    """The runtime under test: the one of this checkout, in any of its builds (CONTRIBUTING.md)."""
    done = subprocess.run(
        [runtime_binary, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        pytest.fail(f"{runtime_binary} --version: {done.stderr.strip()}")
    if not done.stdout.startswith("ociruntime "):
        pytest.fail(f"tests/security is for ociruntime only, not for {runtime_binary}")
    return runtime_binary


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
