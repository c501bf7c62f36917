"""Requests that containerd sends seldom or never: none of them may harm the containers of a pod."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.service import METHODS
from tests.clients.test_containerd import events
from tests.support.bundle import Bundle
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.metrics import client
from tests.support.engines.ttrpc import Refused, TaskClient

PROCESS = {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process", "value": b"{}"}


def ask(connection: TaskClient, method: str, **values: object) -> dict[str, Any]:
    """One request and its answer."""
    question, answer, _ = METHODS[method]
    return connection.call(method, question, answer, **values)


def toml(text: str) -> dict[str, object]:
    """Options as containerd's CRI sends them."""
    return {
        "type_url": m.CRI_OPTIONS_URL,
        "value": m.CRI_OPTIONS.encode({"config_body": text.encode()}),
    }


@pytest.mark.parametrize(
    ("code", "steps"),
    [
        (ttrpc.INVALID_ARGUMENT, [
            ("Exec", {"exec_id": "e", "stdin": "/a\0b", "spec": PROCESS}),
            ("Start", {"exec_id": "e"}),
        ]),
        (ttrpc.INVALID_ARGUMENT, [("ResizePty", {"width": 1 << 16, "height": 25})]),
        (ttrpc.INVALID_ARGUMENT, [("ResizePty", {"width": 80, "height": (1 << 32) - 1})]),
        (ttrpc.INVALID_ARGUMENT, [("Create", {"id": "x", "options": toml("IoUid = [1]")})]),
        (ttrpc.INVALID_ARGUMENT, [("Create", {"id": "x", "options": toml("Root = ")})]),
        (ttrpc.INVALID_ARGUMENT, [
            ("Create", {"id": "x", "bundle": "/no/bundle", "stdout": "file:///a\0b"}),
        ]),
        (ttrpc.UNKNOWN, [
            ("Create", {"id": "x", "bundle": "/no/bundle",
                        "rootfs": [{"type": "bind", "source": "/", "options": ["rbind", "ro"]}]}),
        ]),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error_and_no_more(
    shim: ContainerdWith, code: int, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    container = shim.up("--", "sleep", "1000")
    with client(shim, container) as connection:
        for method, values in steps[:-1]:
            ask(connection, method, **{"id": container, **values})
        method, values = steps[-1]
        with pytest.raises(Refused) as refused:
            ask(connection, method, **{"id": container, **values})
        assert refused.value.code == code, refused.value
        assert ask(connection, "Connect", id=container)["shim_pid"] in shim.shims()
    assert shim.tasks()[container][1] == "RUNNING"
    assert not Path(f"/proc/{shim.host.init}/root/no").exists()


def test_a_second_delete_takes_nothing_else_away(shim: ContainerdWith) -> None:
    """A client that got no answer in time asks once more."""
    log = shim.daemon.directory / "events-second-delete"
    shim.host.start("ctr", "--address", "/run/containerd.sock", "events", log=log)
    shim.host.wait_until(lambda: shim.run("--", "true").status == 0 and b"/tasks/" in
                         log.read_bytes(), "an event", shim.daemon.log)  # fmt: skip
    container = shim.up("--", "sleep", "1000")
    with client(shim, container) as connection:
        ask(connection, "Kill", id=container, signal=9)
        ask(connection, "Wait", id=container)
        first, second = (connection.ask("Delete", m.PROCESS_KEY, id=container) for _ in range(2))
        assert m.DELETE_RESPONSE.decode(connection.receive(first))["exit_status"] == 137
        with pytest.raises(Refused) as refused:
            connection.receive(second)
        assert refused.value.code == ttrpc.NOT_FOUND
        told = lambda: [topic for topic, _ in events(log, container)].count("/tasks/delete")  # noqa: E731
        shim.host.wait_until(told, "the event", log)
        time.sleep(0.3)
        assert told() == 1
        ask(connection, "Shutdown", id=container)


def test_a_container_is_there_when_it_is_made(
    shim: ContainerdWith, bundle: Callable[..., Bundle]
) -> None:
    """What asks for it meanwhile does not get half of one."""
    host = shim.up("--", "sleep", "1000")
    made = bundle(["/bin/sleep", "1000"])
    name = f"{shim.host.cgroup_parent.strip('/')}-slow"
    made.config["linux"]["cgroupsPath"] = f"{shim.host.cgroup_parent}/{name}"
    go = made.path / "go"
    script = f"until [ -e {go} ]; do sleep 0.01; done"
    made.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    made.write()
    with client(shim, host) as connection:
        creation = connection.ask("Create", m.CREATE, id=name, bundle=str(made.path))
        for method in ("State", "Kill", "Pids", "Stats", "Pause", "Update", "Wait"):
            with pytest.raises(Refused) as refused:
                ask(connection, method, id=name)
            assert refused.value.code == ttrpc.NOT_FOUND, method
        with pytest.raises(Refused) as refused:
            ask(connection, "Create", id=name, bundle=str(made.path))
        assert refused.value.code == ttrpc.ALREADY_EXISTS
        assert not ask(connection, "Connect", id=name)["task_pid"]
        go.touch()
        pid = m.PID.decode(connection.receive(creation))["pid"]
        assert ask(connection, "State", id=name)["pid"] == pid
        ask(connection, "Delete", id=name)
    assert not Path(f"/proc/{shim.host.init}/root/proc/{pid}").exists()
