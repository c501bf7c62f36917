"""Hooks without a timeout that do not end: somebody who wants the container away is not held up by
them, and one that is kept from running in the container is told apart from one that works.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.library import connection, container
from tests.fault.test_pairs import Call
from tests.fault.ways import NOWHERE, CommandLine, Library, Operation
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

pytestmark = pytest.mark.kernel
MakeBundle = Callable[..., "Bundle"]
# Seconds that the driver waits for a hook that is held up, or that nobody needs.
PATIENCE = 0.2
# The hook says that it is there, and stays.
STAYS = "echo here >{place}; exec sleep 1000"
FREEZERS = (("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0"))


def wait_until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Hooked:
    """A container with one hook that never ends."""

    def __init__(self, runtime: Runtime, made: Bundle, phase: str, *, shared: bool) -> None:
        self.runtime = runtime
        self.sandbox = runtime.sandbox
        self.made = made
        self.id = made.name
        self.phase = phase
        self.way: CommandLine | None = None
        work = made.rootfs / "work"
        work.mkdir()
        inside = phase == "startContainer"
        self.place = work / "place"
        script = STAYS.format(place="/work/place" if inside else self.place)
        hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
        made.args = ["sleep", "1000"]
        made.set("/hooks", {phase: [hook]})
        if shared:
            made.drop_namespace("pid")
        made.write()

    def up_to_the_hook(self, *, driven: bool = True, **options: object) -> Operation | Call:
        """Let the command that runs the hook come so far: the driver, or the runtime itself."""
        verb = "start" if self.phase in ("startContainer", "poststart") else "create"
        if verb == "start":
            self.runtime.create(self.made, container=self.id).check()
        else:
            self.runtime.created.append(self.id)
        if driven:
            asked: dict[str, Any] = {"id": self.id, "bundle": str(self.made.path)}
            asked["options"] = options
            self.way = CommandLine(self.runtime)
            command: Operation | Call = self.way.ask(verb, NOWHERE, asked, PATIENCE)
        else:
            words = ["create", "--bundle", str(self.made.path)] if verb == "create" else ["start"]
            command = Call(self.runtime, [*words, self.id], 0)
        wait_until(self.is_there, f"{verb}: no hook")
        return command

    def is_there(self) -> bool:
        """Whether the hook has said so."""
        return self.place.exists() and self.place.read_text() != ""

    def hook(self, command: Operation | Call) -> int:
        """The hook's process: of `create` in the container a child of its init."""
        pid = command.pid if isinstance(command, Operation) else command.process.pid
        parent = children(pid)[-1]
        return children(parent)[-1] if self.phase == "createContainer" else parent

    def kill_init(self) -> None:
        """Nobody is told the pid of a container that is being created, but the hooks."""
        state = json.loads((self.runtime.root / self.id / "state.json").read_bytes())
        assert state["pid"] > 1
        os.kill(state["pid"], signal.SIGKILL)

    def check_gone(self) -> None:
        if self.way is not None:
            self.way.close()
            self.way = None
        assert not self.runtime.state(self.id).ok
        assert self.sandbox.settled_leaks() == []


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.fixture(params=[False, True], ids=["own pid namespace", "shared"])
def shared(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def stop(_hooked: Hooked, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def freeze(hooked: Hooked, _pid: int) -> None:
    for path in hooked.sandbox.cgroups():
        for name, value, _ in FREEZERS:
            if path.name == hooked.id and (path / name).exists():
                (path / name).write_text(value)


@pytest.mark.parametrize("phase", ["createContainer", "startContainer"])
@pytest.mark.parametrize("how", [stop, freeze])
def test_held_up_in_the_container(
    runtime: Runtime,
    bundle: MakeBundle,
    phase: str,
    how: Callable[[Hooked, int], None],
    *,
    shared: bool,
) -> None:
    """It would have waited for ever: somebody who shares the processes can stop the hook."""
    hooked = Hooked(runtime, bundle(), phase, shared=shared)
    command = hooked.up_to_the_hook()
    assert isinstance(command, Operation)
    with command:
        how(hooked, hooked.hook(command))
        assert command.finish() == 1
        said = command.said()
    assert ("stopped by a signal" if how is stop else "frozen") in said, said
    assert len(said.strip().splitlines()) == 1, said
    hooked.check_gone()


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer", "startContainer"])
def test_kill_ends_the_wait(
    runtime: Runtime, bundle: MakeBundle, phase: str, *, shared: bool
) -> None:
    """The container cannot come to life any more."""
    hooked = Hooked(runtime, bundle(), phase, shared=shared)
    command = hooked.up_to_the_hook()
    assert isinstance(command, Operation)
    with command:
        hooked.kill_init()
        assert command.finish() == 1
        said = command.said()
    assert len(said.strip().splitlines()) == 1, said
    hooked.check_gone()


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer", "startContainer"])
def test_the_hook_dies_with_init_where_no_cgroup_ends_it(
    runtime: Runtime, bundle: MakeBundle, phase: str
) -> None:
    """Nor a pid namespace."""
    runtime.global_options = ("--cgroup-manager", "disabled")
    hooked = Hooked(runtime, bundle(), phase, shared=True)
    command = hooked.up_to_the_hook(cgroups=False)
    assert isinstance(command, Operation)
    with command:
        hooked.kill_init()
        assert command.finish() == 1
    hooked.check_gone()


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer", "startContainer"])
def test_force_ends_the_wait(runtime: Runtime, bundle: MakeBundle, phase: str) -> None:
    hooked = Hooked(runtime, bundle(), phase, shared=False)
    command = hooked.up_to_the_hook()
    assert isinstance(command, Operation)
    with command:
        runtime.delete(hooked.id, "--force").check()
        assert command.finish() == 1
    hooked.check_gone()


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer", "startContainer"])
def test_interrupting_the_library_ends_the_wait(
    runtime: Runtime, bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """A Ctrl-C takes back what was begun, although it does not end by itself."""
    monkeypatch.setattr(connection, "PATIENCE", PATIENCE)
    hooked = Hooked(runtime, bundle(), phase, shared=False)
    way = Library(runtime)
    way.write({"verb": "", "patience": PATIENCE})

    def interrupt() -> None:
        wait_until(hooked.is_there, "no hook")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        way.library.run(hooked.made.path, hooked.id)
    thread.join()
    hooked.check_gone()
    assert way.library.containers() == []
    way.close()


def test_the_container_of_another_is_not_taken_back(
    runtime: Runtime, bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.0)
    made = bundle(args=["sleep", "1000"])
    runtime.up(made)
    way = Library(runtime)
    making = container.creation(way.library, made.path, runtime.created[0], {}, start=False)
    making.answer.expected = True  # of a zygote that has not come to it yet
    making.abandon()
    assert runtime.status(runtime.created[0]) == "running"
    way.close()


def test_force_ends_a_poststart_hook(runtime: Runtime, bundle: MakeBundle) -> None:
    """The container runs by then, and its end would be no reason."""
    hooked = Hooked(runtime, bundle(), "poststart", shared=False)
    command = hooked.up_to_the_hook()
    assert isinstance(command, Operation)
    with command:
        runtime.delete(hooked.id, "--force").check()
        assert command.finish() == 1
        assert "deleted by force" in command.said()
    hooked.check_gone()


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer", "startContainer"])
def test_a_timeout_holds_for_a_hook_that_never_stops_talking(
    runtime: Runtime, bundle: MakeBundle, phase: str
) -> None:
    script = "while :; do echo more; done"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}
    made = bundle(args=["sleep", "1000"], hooks={phase: [hook]})
    result = runtime.create(made)
    if phase == "startContainer":
        runtime.created.remove(result.check().container)
        result = runtime.start(result.container)
    assert result.status == 1
    assert "timeout of 1 s" in result.stderr
    assert runtime.sandbox.settled_leaks() == []


def test_a_timeout_holds_for_a_frozen_hook(runtime: Runtime, bundle: MakeBundle) -> None:
    """SIGKILL waits until somebody thaws it."""
    hooked = Hooked(runtime, bundle(), "startContainer", shared=False)
    hooked.made.config["hooks"]["startContainer"][0]["timeout"] = 1
    hooked.made.write()
    command = hooked.up_to_the_hook(driven=False)
    assert isinstance(command, Call)
    freeze(hooked, 0)
    command.check()
    assert "timeout of 1 s" in command.log.read_text()
    hooked.check_gone()
