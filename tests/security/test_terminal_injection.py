"""CVE-2017-5226's class: a program of the container has not its caller's terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

# The runtime's standard input becomes the controlling terminal of its session.
WRAPPER = ("setsid", "--ctty", "--wait")
# It is another's terminal; the kernel lets nobody; the runtime hands on a pipe.
REFUSED = ("errno 1\n", "errno 5\n", "errno 25\n")


@pytest.fixture
def terminal() -> Iterator[int]:
    master, slave = os.openpty()
    try:
        yield slave
    finally:
        os.close(slave)
        os.close(master)


@pytest.fixture
def prober(bundle: MakeBundle, probe: Path) -> Bundle:
    return bundle().install(probe, "/probe")


def test_run(runtime: Runtime, prober: Bundle, terminal: int) -> None:
    prober.args = ["/probe", "push"]
    result = runtime.run(prober, stdin=terminal, wrapper=WRAPPER).check()
    assert result.stdout in REFUSED


def test_exec(runtime: Runtime, prober: Bundle, terminal: int) -> None:
    prober.args = ["/bin/sleep", "100"]
    container = runtime.up(prober)
    result = runtime.exec(container, "/probe", "push", stdin=terminal, wrapper=WRAPPER).check()
    assert result.stdout in REFUSED
