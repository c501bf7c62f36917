"""The work that warms the start image up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from ociruntime import warmup
warmup.warm_up()  # what it imports when it runs is known then
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
warmup.warm_up()
print(*sorted(set(seen)))
"""


def test_it_asks_the_machine_nothing() -> None:
    """An image must not know the machine, the user or the moment it was made in."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(CHECKOUT)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [event for event in output.split() if not event.startswith("object.")] == []


def test_it_leaves_nothing() -> None:
    """Nobody collects cycles while the image is made: they would be in it."""
    program = (
        "import gc, sys\nsys.path.insert(0, sys.argv[1])\ngc.disable()\n"
        "from ociruntime import warmup\ngc.collect()\nwarmup.warm_up()\nprint(gc.collect())"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(CHECKOUT)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"
