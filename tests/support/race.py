"""Races: a racer that swaps two names all the time, and a bounded number of rounds against it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tally import count

ROUNDS = 500


@contextmanager
def swapping(
    probe: Path, first: Path, second: Path, seconds: float, pause: int = 20
) -> Iterator[None]:
    """Exchange two names on the host (renameat2(2), RENAME_EXCHANGE) while the block runs.

    `seconds` bounds the racer's life should the test die; `pause` is in microseconds between
    swaps, so that two cores serve the runtime too. Raises AssertionError if no swap happened.
    """
    command = [str(probe), "exchange", str(first), str(second), str(seconds + 30), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as racer:
        try:
            yield
            assert racer.poll() is None, "the racer could not swap"
        finally:
            racer.kill()


def rounds(seconds: float) -> Iterator[int]:
    """Count up to ROUNDS, and stop early after `seconds`."""
    deadline = time.monotonic() + seconds
    for number in range(ROUNDS):
        if time.monotonic() >= deadline:
            return
        count("rounds")
        yield number
