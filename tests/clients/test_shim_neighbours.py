"""Pods that share a daemon with one that does its worst: they are served as before.

Each test keeps the neighbour at it until a quiet container has answered: nothing that the daemon
does for the one may wait in front of the other.
"""

from __future__ import annotations

import json

import pytest

from ociruntime.shim import messages as m
from tests.clients.test_shim_requests import ask
from tests.clients.test_shim_shared import SHARED, keeper_and_daemon
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.metrics import client

# Stops whatever comes into its pid namespace; all of it is the shell's own work.
STOPS = """while :; do for p in /proc/[0-9]*; do
p=${p#/proc/}; [ "$p" = 1 ] || kill -STOP "$p" 2>/dev/null; done; done"""
TRUE = {"args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
PROCESS = {
    "type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process",
    "value": json.dumps(TRUE).encode(),
}


@pytest.fixture
def quiet(node: ContainerdWith) -> str:
    """A container that does nothing."""
    return node.up(*SHARED, "--", "sleep", "1000")


def assert_served(node: ContainerdWith, quiet: str, turns: int = 3) -> None:
    """State, exec, metrics and a container of its own."""
    _, daemon = keeper_and_daemon(node)
    assert daemon, "both have one daemon"
    for turn in range(turns):
        assert node.tasks()[quiet][1] == "RUNNING"
        done = node("tasks", "exec", "--exec-id", f"e{turn}", quiet, "sh", "-c", "echo on; exit 3")
        assert (done.status, done.stdout) == (3, "on\n"), done
    assert "pids" in node("tasks", "metrics", quiet).check().stdout
    assert node.run(*SHARED, "--", "echo", "new").check().stdout == "new\n"
    assert keeper_and_daemon(node)[1] == daemon


def test_one_that_nobody_reads(node: ContainerdWith, quiet: str) -> None:
    container = node.new_id()
    node.host.shell("mkdir -p /run/unread")
    words = node.words("--detach", *SHARED, "--fifo-dir", "/run/unread", "--", "yes", "x" * 100)
    node(*words).check()
    status = f"/proc/{node.tasks()[container][0]}/status"
    node.host.wait_until(
        lambda: "State:\tS" in node.host.shell(f"cat {status}"), "a full pipe", node.daemon.log
    )
    assert_served(node, quiet)
    node("tasks", "kill", "--signal", "KILL", container).check()
    # Or delete waits for a reader.
    node.host.shell("cat $(find /run/unread -type p -name '*stdout') >/run/read")


def test_one_whose_log_is_on_a_full_disk(node: ContainerdWith, quiet: str) -> None:
    container = node.new_id()
    node.host.shell("mkdir -p /run/full && mount -t tmpfs -o size=64k tmpfs /run/full")
    words = ("--detach", *SHARED, "--log-uri", "file:///run/full/log", "--", "yes", "x" * 100)
    node(*node.words(*words)).check()
    node.host.wait_until(
        lambda: node.host.shell("df --output=avail /run/full | tail -1").strip() == "0",
        "a full disk", node.daemon.log,
    )  # fmt: skip
    assert_served(node, quiet)
    assert node.tasks()[container][1] == "RUNNING"


def test_one_that_stops_what_enters_it(node: ContainerdWith, quiet: str) -> None:
    hostile = node.up(*SHARED, "--", "sh", "-c", STOPS)
    with client(node, hostile) as connection:
        for number in range(5):
            key = {"id": hostile, "exec_id": f"held{number}"}
            ask(connection, "Exec", **key, spec=PROCESS)
            connection.ask("Start", m.PROCESS_KEY, **key)
        assert_served(node, quiet)
    node("tasks", "kill", "--signal", "KILL", hostile).check()
    node.wait_for(hostile, "STOPPED")


def test_one_whose_cgroup_is_frozen(node: ContainerdWith, quiet: str) -> None:
    """By whom it is no matter; what was asked for it is answered when it is thawed."""
    frozen = node.up(*SHARED, "--", "sleep", "1000")
    state, on, off = freezer_of(node, frozen)
    node.host.shell(f"echo {on} >{state}")
    with client(node, frozen) as connection:
        waiting = connection.ask("Wait", m.PROCESS_KEY, id=frozen)
        ask(connection, "Kill", id=frozen, signal=15)
        connection.ask("Exec", m.EXEC, id=frozen, exec_id="late", spec=PROCESS)
        connection.ask("Start", m.PROCESS_KEY, id=frozen, exec_id="late")
        connection.ask("Stats", m.PROCESS_KEY, id=frozen)
        assert_served(node, quiet)
        node.host.shell(f"echo {off} >{state}")
        ask(connection, "Kill", id=frozen, signal=9)
        assert m.WAIT_RESPONSE.decode(connection.receive(waiting))["exit_status"] == 137


def freezer_of(node: ContainerdWith, container: str) -> tuple[str, str, str]:
    """The file that freezes the container's cgroup, and the words that do and undo it."""
    places = node.cgroups(container)
    v1 = [path for path in places if "/freezer/" in path]
    return (f"{v1[0]}/freezer.state", "FROZEN", "THAWED") if v1 else (
        f"{places[0]}/cgroup.freeze", "1", "0"
    )  # fmt: skip
