"""Each pair of commands at once on one container: both end, and name what happened. So do each two
calls of the library, and each two requests to the shim.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from ociruntime import api
from ociruntime.errors import NotFound, OciError
from tests.fault.ways import NO_ANSWER, Answer, Shim, call, in_a_thread
from tests.support.engines.ttrpc import TaskClient
from tests.support.runtime import TIMEOUT
from tests.support.tally import count

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

    LibraryCall = Callable[[api.Runtime, Bundle], object]

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
    "exec-detach": ["exec", "--detach", "ID", "sleep", "1000"],
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
SLEEP = '{"args": ["sleep", "1000"], "cwd": "/"}'
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
    made = bundle(args=["sleep", "1000"]).write()
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
        for command in sorted(calls, key=lambda each: each.words[0] != "pause"):
            command.check()
            if command.words[0] == "pause" and "exec" in (pair[0][0], pair[1][0]):
                # It would wait ten seconds, as the library's and the shim's below do.
                runtime.call("resume", made.name)
        runtime.delete(made.name, "--force").check()
    assert runtime.sandbox.settled_leaks() == []


def container(library: api.Runtime, made: Bundle) -> api.Container:
    return api.Container(library, made.name)


def execute(library: api.Runtime, made: Bundle) -> None:
    with container(library, made).exec(["true"]) as process:
        process.wait(TIMEOUT)


def make(library: api.Runtime, made: Bundle, *, start: bool) -> None:
    found = api.Container.create(library, made.path, made.name, start=start)
    assert found.process is not None
    found.process.close()


CALLS: dict[str, LibraryCall] = {
    "start": lambda library, made: container(library, made).start(),
    "kill": lambda library, made: container(library, made).kill(9),
    "kill-all": lambda library, made: container(library, made).kill(15, everything=True),
    "delete": lambda library, made: container(library, made).delete(),
    "delete-force": lambda library, made: container(library, made).delete(force=True),
    "exec": execute,
    "exec-detach": lambda library, made: container(library, made).exec(["sleep", "1000"]).close(),
    "state": lambda library, made: container(library, made).state(),
    "list": lambda library, _: [each.id for each in library.containers()],
    "stats": lambda library, made: container(library, made).stats(),
    "pause": lambda library, made: container(library, made).pause(),
    "resume": lambda library, made: container(library, made).resume(),
    "update": lambda library, made: container(library, made).update({"pids": {"limit": 50}}),
    "run": lambda library, made: make(library, made, start=True),
    "create": lambda library, made: make(library, made, start=False),
}
# method, its fields beside the id
REQUESTS: dict[str, tuple[str, dict[str, object]]] = {
    "start": ("Start", {}),
    "kill": ("Kill", {"signal": 9}),
    "kill-all": ("Kill", {"signal": 15, "all": True}),
    "delete": ("Delete", {}),
    "exec": ("Exec", {"spec": {"type_url": "", "value": SLEEP.encode()}}),
    "state": ("State", {}),
    "pids": ("Pids", {}),
    "stats": ("Stats", {}),
    "pause": ("Pause", {}),
    "resume": ("Resume", {}),
    "update": ("Update", {"resources": {"type_url": "", "value": b'{"pids": {"limit": 50}}'}}),
    "create": ("Create", {}),
}


def check(answer: Answer, what: str) -> None:
    """It comes in time, with words for a person."""
    assert answer.has_come(2 * TIMEOUT), f"{what} does not end"
    status, said = answer.result()
    assert status != NO_ANSWER, f"{what}: {said}"
    assert "internal error" not in said, f"{what}: {said}"
    assert status == 0 or said, what


def together(names: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    """Each pair once, and how many seconds the second one comes later."""
    pairs = itertools.combinations_with_replacement(names, 2)
    for (first, second), delay in zip(pairs, itertools.cycle(DELAYS), strict=False):
        yield first, second, delay / 1000


@pytest.mark.timeout(900)
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_pairs_of_the_library(runtime: Runtime, bundle: MakeBundle, *, running: bool) -> None:
    made = bundle(args=["sleep", "1000"]).write()

    def begin(library: api.Runtime, name: str, delay: float) -> Answer:
        def work() -> None:
            time.sleep(delay)
            CALLS[name](library, made)

        return in_a_thread(work)

    with api.Runtime(runtime.root, launcher=runtime.binary) as library:
        for first, second, delay in together(CALLS):
            make(library, made, start=running)
            count("pairs")
            answers = [(first, begin(library, first, 0)), (second, begin(library, second, delay))]
            for name, answer in sorted(answers, key=lambda each: each[0] != "pause"):
                check(answer, f"{first} beside {second}")
                if name == "pause" and {"exec", "exec-detach"} & {first, second}:
                    # It would wait ten seconds, and for the end of what it has begun for ever.
                    with contextlib.suppress(OciError):
                        container(library, made).resume()
            with contextlib.suppress(NotFound):
                container(library, made).delete(force=True)
            assert library.containers() == []
    assert runtime.sandbox.settled_leaks() == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_pairs_of_requests(runtime: Runtime, bundle: MakeBundle, *, running: bool) -> None:
    made = bundle(args=["sleep", "1000"]).write()
    numbers = itertools.count()

    def begin(shim: Shim, name: str, delay: float) -> Answer:
        method, fields = REQUESTS[name]
        fields = {**fields, "id": made.name}
        if method == "Create":
            fields.update(bundle=str(made.path), options=shim.options)

        def work() -> None:
            time.sleep(delay)
            with TaskClient(shim.path) as client:
                if method == "Exec":
                    fields["exec_id"] = exec_id = f"e{next(numbers)}"
                call(client, method, **fields)
                if method == "Exec":
                    call(client, "Start", id=made.name, exec_id=exec_id)

        return in_a_thread(work)

    with contextlib.closing(Shim(runtime)) as shim:
        for first, second, delay in together(REQUESTS):
            shim.carry_out("create", {"id": made.name, "bundle": str(made.path), "terminal": False})
            if running:
                shim.carry_out("start", {"id": made.name})
            count("pairs")
            answers = [begin(shim, first, 0), begin(shim, second, delay)]
            for answer in answers:
                check(answer, f"{first} beside {second}")
            shim.take_away(made.name)
            assert list(runtime.root.glob(f"{made.name}*")) == [], f"{first} beside {second}"
    assert runtime.sandbox.settled_leaks() == []
