"""Each pair of commands at once on one container: both end, and name what happened."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.runtime import TIMEOUT
from tests.support.tally import count

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

pytestmark = pytest.mark.kernel
MakeBundle = Callable[..., "Bundle"]
# ID and BUNDLE are those of the container.
COMMANDS: dict[str, list[str]] = {
    "start": ["start", "ID"],
    "kill": ["kill", "ID", "KILL"],
    "kill-all": ["kill", "--all", "ID", "TERM"],
    "delete": ["delete", "ID"],
    "delete-force": ["delete", "--force", "ID"],
    "exec": ["exec", "ID", "true"],
    "exec-detach": ["exec", "--detach", "ID", "sleep", "100"],
    "state": ["state", "ID"],
    "list": ["list", "--format", "json"],
    "ps": ["ps", "ID"],
    "pause": ["pause", "ID"],
    "resume": ["resume", "ID"],
    "update": ["update", "--pids-limit", "50", "ID"],
    "events": ["events", "--stats", "ID"],
    "run": ["run", "--detach", "--bundle", "BUNDLE", "ID"],
    "create": ["create", "--bundle", "BUNDLE", "ID"],
}
# Milliseconds that the second one comes later.
DELAYS = (0, 3, 8)


class Call:
    """A command that runs beside others."""

    def __init__(self, runtime: Runtime, words: list[str], delay: int) -> None:
        self.words = words
        # A file: a container has the streams of `run`.
        self.log: Path = runtime.sandbox.logs / f"pair-{next(NUMBERS)}"
        command = [str(runtime.binary), "--root", str(runtime.root), *words]
        if delay:
            command = ["sh", "-c", f'sleep 0.{delay:03}; exec "$@"', "sh", *command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=runtime.sandbox.environment(),
            )

    def check(self) -> None:
        """It ends in time, with a status and words for a person."""
        try:
            status = self.process.wait(2 * TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"{self.words} does not end: {self.log.read_text()}")
        said = self.log.read_text()
        assert status >= 0, f"{self.words} died of signal {-status}"
        assert "internal error" not in said, f"{self.words}: {said}"
        assert "Traceback" not in said, f"{self.words}: {said}"
        assert status == 0 or said, self.words


NUMBERS = itertools.count()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
@pytest.mark.parametrize("first", COMMANDS)
def test_pairs(runtime: Runtime, bundle: MakeBundle, first: str, *, running: bool) -> None:
    made = bundle(args=["sleep", "100"]).write()
    # Each pair once: the delays let either be the first.
    names = list(COMMANDS)[list(COMMANDS).index(first) :]
    words = {"ID": made.name, "BUNDLE": str(made.path)}
    for second, delay in zip(names, itertools.cycle(DELAYS), strict=False):
        runtime.create(made, container=made.name).check()
        if running:
            runtime.start(made.name).check()
        pair = [[words.get(word, word) for word in COMMANDS[name]] for name in (first, second)]
        count("pairs")
        calls = [Call(runtime, pair[0], 0), Call(runtime, pair[1], delay)]
        for call in calls:
            call.check()
        runtime.delete(made.name, "--force").check()
    assert runtime.sandbox.settled_leaks() == []
