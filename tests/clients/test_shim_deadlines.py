"""Requests whose work does not end: the answer comes in the time that the client granted, and what
was begun is taken back, or can be deleted.

What holds the work up here is a hook: one that sleeps, or one that stops the container's process,
as a neighbour could with whom it shares its processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from tests.clients.test_shim_requests import ask
from tests.support.bundle import Bundle
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.metrics import client
from tests.support.engines.ttrpc import Refused, TaskClient
from tests.support.patience import FACTOR, PATIENCE

MakeBundle = Callable[..., Bundle]
GRANTED = 2.0 * FACTOR
# Long after the answer must have come, and long before a hook would end by itself.
LIMIT = PATIENCE
STOPS = r"""
sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' >"$0.new"
kill -STOP $(cat "$0.new")
mv "$0.new" "$0"
"""


@pytest.fixture
def held_up(shim: ContainerdWith, bundle: MakeBundle) -> Callable[[str, str], Bundle]:
    """Make a bundle whose container is held up `when` (the hook) and `how`: sleeps, stops."""

    def make(when: str, how: str) -> Bundle:
        made = bundle(["/bin/sleep", "1000"])
        name = f"{shim.host.cgroup_parent.strip('/')}-{when}"
        made.config["linux"]["cgroupsPath"] = f"{shim.host.cgroup_parent}/{name}"
        hook: dict[str, Any] = {"path": "/bin/sleep", "args": ["sleep", "100000"]}
        if how == "stops":
            hook = {"path": "/bin/sh", "args": ["sh", "-c", STOPS, str(made.path / "pid")]}
        made.config["hooks"] = {when: [hook]}
        made.write()
        return made

    return make


def state_of(view: ContainerdWith, name: str) -> Path:
    """Where the runtime keeps what it knows of a container."""
    return Path(f"/proc/{view.host.init}/root/run/containerd/runc/default/{name}")


def assert_gone(view: ContainerdWith, name: str) -> None:
    """Neither state nor cgroup."""
    deadline = time.monotonic() + LIMIT
    parent = f"{view.host.cgroup_parent.lstrip('/')}/{name}"
    top = Path(f"/proc/{view.host.init}/root/sys/fs/cgroup")
    while True:
        left = [place for place in (top / parent, *top.glob(f"*/{parent}")) if place.exists()]
        left += [state_of(view, name)] if state_of(view, name).exists() else []
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def code_of(connection: TaskClient, stream: int) -> int:
    """The code of an answer, 0 for success."""
    try:
        connection.receive(stream)
    except Refused as refused:
        return refused.code
    return ttrpc.OK


@pytest.mark.parametrize("how", ["sleeps", "stops"])
def test_create_ends_in_its_time_and_is_taken_back(
    shim: ContainerdWith, held_up: Callable[[str, str], Bundle], how: str
) -> None:
    pod = shim.up("--", "sleep", "1000")
    made = held_up("createRuntime", how)
    with client(shim, pod) as connection:
        began = time.monotonic()
        creation = connection.ask(
            "Create", m.CREATE, granted=GRANTED, id=made.name, bundle=str(made.path)
        )
        with pytest.raises(Refused) as refused:
            connection.receive(creation)
        assert refused.value.code == ttrpc.DEADLINE_EXCEEDED, refused.value
        assert time.monotonic() - began < LIMIT
        assert_gone(shim, made.name)
        # The id is free.
        made.config["hooks"] = {}
        made.write()
        assert ask(connection, "Create", id=made.name, bundle=str(made.path))["pid"]
        ask(connection, "Delete", id=made.name)
    assert shim.tasks()[pod][1] == "RUNNING"


def test_delete_of_a_container_that_is_being_created(
    shim: ContainerdWith, held_up: Callable[[str, str], Bundle]
) -> None:
    """A client that granted any time, and then lost patience."""
    pod = shim.up("--", "sleep", "1000")
    made = held_up("createRuntime", "stops")
    with client(shim, pod) as connection:
        creation = connection.ask("Create", m.CREATE, id=made.name, bundle=str(made.path))
        deadline = time.monotonic() + LIMIT
        while not (made.path / "pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert ask(connection, "Delete", id=made.name)["exit_status"] == 137
        with pytest.raises(Refused) as refused:
            connection.receive(creation)
        assert refused.value.code == ttrpc.ABORTED, refused.value
        assert_gone(shim, made.name)
        with pytest.raises(Refused) as refused:
            ask(connection, "Delete", id=made.name)
        assert refused.value.code == ttrpc.NOT_FOUND


def test_start_ends_in_its_time_and_the_container_can_be_deleted(
    shim: ContainerdWith, held_up: Callable[[str, str], Bundle]
) -> None:
    pod = shim.up("--", "sleep", "1000")
    made = held_up("poststart", "sleeps")
    with client(shim, pod) as connection:
        assert ask(connection, "Create", id=made.name, bundle=str(made.path))["pid"]
        beginning = connection.ask("Start", m.PROCESS_KEY, granted=GRANTED, id=made.name)
        with pytest.raises(Refused) as refused:
            connection.receive(beginning)
        assert refused.value.code == ttrpc.DEADLINE_EXCEEDED, refused.value
        ask(connection, "Kill", id=made.name, signal=9)
        assert ask(connection, "Wait", id=made.name)["exit_status"] == 137
        ask(connection, "Delete", id=made.name)
        assert_gone(shim, made.name)


@pytest.mark.parametrize("when", ["startContainer", "poststart"])
def test_kill_ends_a_start_that_waits_for_a_hook(
    shim: ContainerdWith, held_up: Callable[[str, str], Bundle], when: str
) -> None:
    """A client that granted any time: nothing else would end it, and nobody could delete it."""
    pod = shim.up("--", "sleep", "1000")
    made = held_up(when, "sleeps")
    hook = made.config["hooks"][when][0]
    hook["path"], hook["args"] = "/bin/sh", ["sh", "-c", "exec sleep 100001"]
    made.write()
    with client(shim, pod) as connection:
        assert ask(connection, "Create", id=made.name, bundle=str(made.path))["pid"]
        beginning = connection.ask("Start", m.PROCESS_KEY, id=made.name)
        deadline = time.monotonic() + LIMIT
        while not processes("sleep\x00100001"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ask(connection, "Kill", id=made.name, signal=9)
        with pytest.raises(Refused):
            connection.receive(beginning)
        assert ask(connection, "Wait", id=made.name)["exit_status"] == 137
        ask(connection, "Delete", id=made.name)
        assert_gone(shim, made.name)
        assert not processes("sleep\x00100001")


def processes(command: str) -> list[Path]:
    """Those whose command line is that."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_text(errors="replace").startswith(command):
                found.append(path)
        except OSError:
            continue  # it has just ended
    return found


def test_wait_ends_in_its_time(shim: ContainerdWith) -> None:
    pod = shim.up("--", "sleep", "1000")
    with client(shim, pod) as connection:
        waiting = connection.ask("Wait", m.PROCESS_KEY, granted=0.2, id=pod)
        with pytest.raises(Refused) as refused:
            connection.receive(waiting)
        assert refused.value.code == ttrpc.DEADLINE_EXCEEDED, refused.value


def test_three_thousand_requests_for_one_container(shim: ContainerdWith) -> None:
    """All of them at once: each gets its answer."""
    pod = shim.up("--", "sleep", "1000")
    with client(shim, pod) as connection:
        waiting = [connection.ask("Wait", m.PROCESS_KEY, id=pod) for _ in range(1000)]
        ask(connection, "Kill", id=pod, signal=9)
        deletions = [connection.ask("Delete", m.PROCESS_KEY, id=pod) for _ in range(2000)]
        for number in waiting:
            assert m.WAIT_RESPONSE.decode(connection.receive(number))["exit_status"] == 137
        codes = [code_of(connection, number) for number in deletions]
        assert set(codes) <= {0, ttrpc.NOT_FOUND, ttrpc.FAILED_PRECONDITION}
        assert codes.count(0) <= 1
        if 0 not in codes:
            ask(connection, "Delete", id=pod)
        ask(connection, "Shutdown", id=pod)
