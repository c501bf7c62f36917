"""What the shim starts in a container is what the container's process is: hooks of the image, and
an exec that says nothing of capabilities.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.test_shim_requests import PROCESS, ask
from tests.kernel.test_start_hook import IDENTITIES, assert_equal, hooked
from tests.support.bundle import Bundle
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.metrics import client

MakeBundle = Callable[..., Bundle]
GRANTED = "00000000a80425fb"  # those of tests/support/config.py


def named(shim: ContainerdWith, made: Bundle) -> str:
    """The bundle's name for the shim, whose cgroup is below that of the test's host."""
    name = f"{shim.host.cgroup_parent.strip('/')}-{made.name}"
    made.config["linux"]["cgroupsPath"] = f"{shim.host.cgroup_parent}/{name}"
    made.write()
    return name


@pytest.mark.parametrize("identity", ["a user", "root"])
def test_start_hook(shim: ContainerdWith, bundle: MakeBundle, identity: str) -> None:
    pod = shim.up("--", "sleep", "1000")
    made = hooked(bundle())
    made.config["process"].update(IDENTITIES[identity])
    name = named(shim, made)
    with client(shim, pod) as connection:
        ask(connection, "Create", id=name, bundle=str(made.path))
        ask(connection, "Start", id=name)
        assert ask(connection, "Wait", id=name)["exit_status"] == 0
        ask(connection, "Delete", id=name)
    assert f"uid={IDENTITIES[identity]['user']['uid']}" in assert_equal(made)


@pytest.mark.parametrize("terminal", [False, True], ids=["streams", "terminal"])
@pytest.mark.parametrize(("own", "granted"), [(None, GRANTED), ({}, "0" * 16)])
def test_capabilities_of_exec(
    shim: ContainerdWith, bundle: MakeBundle, own: object, granted: str, terminal: bool
) -> None:
    pod = shim.up("--", "sleep", "1000")
    made = bundle(["sleep", "1000"])
    name = named(shim, made)
    script = "grep CapEff /proc/self/status >/seen"
    process: dict[str, Any] = {"args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"]}
    process["terminal"] = terminal
    if own is not None:
        process["capabilities"] = own
    spec = {**PROCESS, "value": json.dumps(process).encode()}
    with client(shim, pod) as connection:
        ask(connection, "Create", id=name, bundle=str(made.path))
        ask(connection, "Start", id=name)
        ask(connection, "Exec", id=name, exec_id="e", spec=spec, terminal=terminal)
        ask(connection, "Start", id=name, exec_id="e")
        assert ask(connection, "Wait", id=name, exec_id="e")["exit_status"] == 0
        ask(connection, "Kill", id=name, signal=9)
        ask(connection, "Wait", id=name)
        ask(connection, "Delete", id=name)
    assert Path(made.rootfs, "seen").read_text().split()[1] == granted
