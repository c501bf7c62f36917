"""SCMP_ACT_NOTIFY with an agent that listens: what it is sent, and what it decides."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.agent import Agent
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.seccomp import profile, rule, strict
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
METADATA = "profile=demo,node=1"
CROSS_DEVICE = errno.EXDEV


@pytest.fixture
def path(sandbox: Sandbox) -> Path:
    # A name of its own: the leak check knows sockets that tests made by it.
    return sandbox.directory / "test-agent.sock"


@pytest.fixture
def agent(path: Path) -> Iterator[Agent]:
    with Agent(path, CROSS_DEVICE) as made:
        yield made


@pytest.fixture
def notified(bundle: MakeBundle, path: Path) -> Bundle:
    """A container whose mkdir(2) waits for the agent."""
    made = bundle(["/bin/mkdir", "/tmp/x"], annotations={"org.example.key": "value"})
    made.config["linux"]["seccomp"] = profile(
        "ALLOW",
        rule("mkdir mkdirat", "NOTIFY"),
        listenerPath=str(path),
        listenerMetadata=METADATA,
    )
    return made


def test_the_agent_decides(runtime: Runtime, notified: Bundle, agent: Agent) -> None:
    result = runtime.run(notified)
    assert result.status == 1
    assert "Invalid cross-device link" in result.stderr
    assert agent.asked == 1
    agent.errno = 0
    runtime.run(notified).check()
    assert (notified.rootfs / "tmp" / "x").is_dir()


@pytest.mark.parametrize("no_new_privs", [True, False])
def test_what_the_agent_is_sent(
    runtime: Runtime, notified: Bundle, agent: Agent, no_new_privs: bool
) -> None:
    notified.shell("mkdir /tmp/x; exec sleep 100")
    notified.set("/process/noNewPrivileges", no_new_privs)
    container = runtime.create(notified).check().container
    assert not agent.documents
    runtime.start(container).check()
    pid = runtime.pid(container)
    wait_for(lambda: bool(agent.documents))
    assert [each.counts[0] for each in agent.deliveries] == [1]
    (document,) = agent.documents
    state = document.pop("state")
    assert document == {
        "ociVersion": "1.0.2",
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": METADATA,
    }
    assert json.loads(agent.deliveries[0].parts[0])  # whole, with the descriptor
    expected = {
        "ociVersion": "1.0.2",
        "id": container,
        "pid": pid,
        "bundle": str(notified.path),
        "annotations": {"org.example.key": "value"},
    }
    assert {key: state[key] for key in expected} == expected
    assert state["status"] in ("creating", "created")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_exec_has_a_listener_of_its_own(runtime: Runtime, notified: Bundle, agent: Agent) -> None:
    notified.args = ["/bin/sleep", "100"]
    container = runtime.up(notified)
    pid = runtime.pid(container)
    result = runtime.exec(container, "/bin/mkdir", "/tmp/y", options=("--user", "1000:1000"))
    assert "Invalid cross-device link" in result.stderr
    wait_for(lambda: len(agent.documents) == 2)
    first, second = agent.documents
    assert [each.counts[0] for each in agent.deliveries] == [1, 1]
    assert first["pid"] == pid
    assert second["pid"] not in (0, pid)
    assert second["state"]["pid"] == pid
    assert second["state"]["status"] == "running"
    assert second["metadata"] == METADATA


def test_a_strict_profile(runtime: Runtime, notified: Bundle, agent: Agent, path: Path) -> None:
    seccomp = strict(rule("mkdir mkdirat", "NOTIFY"), listenerPath=str(path))
    notified.config["linux"]["seccomp"] = seccomp
    assert "Invalid cross-device link" in runtime.run(notified).stderr
    wait_for(lambda: bool(agent.documents))
    assert "metadata" not in agent.documents[0]


@pytest.mark.parametrize("flags", [["TSYNC"], ["WAIT_KILLABLE_RECV"], ["TSYNC", "LOG"], []])
def test_flags(runtime: Runtime, notified: Bundle, agent: Agent, flags: list[str]) -> None:
    notified.set("/linux/seccomp/flags", [f"SECCOMP_FILTER_FLAG_{flag}" for flag in flags])
    assert "Invalid cross-device link" in runtime.run(notified).stderr
    assert [each.counts[0] for each in agent.deliveries] == [1]


def test_the_program_has_none_of_the_descriptors(
    runtime: Runtime, notified: Bundle, agent: Agent, probe: Path
) -> None:
    notified.install(probe, "probe").args = ["/probe", "fdlist"]
    container = runtime.run(notified).check()
    assert container.stdout == ""


def test_annotation_of_crun(runtime: Runtime, notified: Bundle, agent: Agent, path: Path) -> None:
    notified.remove("/linux/seccomp/listenerPath")
    notified.remove("/linux/seccomp/listenerMetadata")
    notified.set("/annotations/run.oci.seccomp.receiver", str(path))
    assert "Invalid cross-device link" in runtime.run(notified).stderr
    assert [each.counts[0] for each in agent.deliveries] == [1]


def test_no_agent(runtime: Runtime, notified: Bundle, path: Path) -> None:
    container = runtime.create(notified).check().container
    result = runtime.start(container)
    words = ("linux.seccomp.listenerPath", str(path), "no such file", "must listen")
    assert_clear(runtime, result, *words)
    assert runtime.status(container) == "created"  # it can still be started
    with Agent(path, CROSS_DEVICE) as agent:
        runtime.start(container).check()
        runtime.wait_for(container, "stopped")
        assert [each.counts[0] for each in agent.deliveries] == [1]


def test_no_agent_for_exec(runtime: Runtime, notified: Bundle, path: Path) -> None:
    notified.args = ["/bin/sleep", "100"]
    with Agent(path, CROSS_DEVICE):
        container = runtime.up(notified)
        os.unlink(path)
        result = runtime.exec(container, "/bin/true")
        assert_clear(runtime, result, "linux.seccomp.listenerPath", "no such file", status=255)
        assert runtime.status(container) == "running"
        runtime.delete(container, "--force").check()


@pytest.mark.parametrize("name", ["sendmsg", "execve"])
def test_what_the_runtime_itself_needs(
    runtime: Runtime, notified: Bundle, agent: Agent, name: str
) -> None:
    """The listener is sent with sendmsg(2); execve(2) may wait, the agent has the listener then."""
    agent.errno = 0
    notified.args = ["/bin/true"]
    notified.config["linux"]["seccomp"]["syscalls"] = [rule(name, "NOTIFY")]
    result = runtime.run(notified)
    if name == "execve":
        result.check()
        assert agent.asked == 1
    else:
        assert_clear(runtime, result, "linux.seccomp sendmsg", "allow it")


def test_the_listener_is_ignored_without_notifications(runtime: Runtime, notified: Bundle) -> None:
    """config-linux.md: "If the SCMP_ACT_NOTIFY action is not used this value MUST be ignored"."""
    notified.config["linux"]["seccomp"]["syscalls"] = [rule("mkdirat", "ERRNO")]
    notified.args = ["/bin/true"]
    runtime.run(notified).check()


def hang_up(server: socket.socket) -> None:
    server.accept()[0].close()


def test_an_agent_that_hangs_up(runtime: Runtime, notified: Bundle, path: Path) -> None:
    """Nobody would answer: the container is killed, and the error says why."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(1)
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        notified.args = ["/bin/sleep", "100"]
        # The state does not fit into the socket's buffer, so the agent's end cannot be missed.
        notified.config["annotations"]["big"] = "x" * (1 << 19)
        container = runtime.create(notified).check().container
        result = runtime.start(container)
        thread.join()
    assert_clear(runtime, result, "linux.seccomp.listenerPath", str(path))
    runtime.wait_for(container, "stopped")
