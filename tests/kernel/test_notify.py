"""NOTIFY_SOCKET: what a container tells the service manager, and what it cannot."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]
# A client: sends each argument as one message, with a descriptor where that is a barrier, which it
# waits for; one that ends in a newline tells the descriptor's inode before.
SAY = r"""
import os, socket, sys
for text in sys.argv[1:]:
    message = text.encode().decode("unicode_escape").encode()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(os.environ["NOTIFY_SOCKET"])
    if message.strip() == b"BARRIER=1":
        ours, theirs = os.pipe()
        if message.endswith(b"\n"):
            client.send(b"STATUS=%d" % os.fstat(theirs).st_ino)
        socket.send_fds(client, [message], [theirs])
        os.close(theirs)
        os.read(ours, 1)
    else:
        client.send(message)
"""


class Manager:
    """The service manager's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def hear(self) -> list[str]:
        """The lines of the next message; a barrier's descriptor is closed, which lifts it."""
        message, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
        for fd in fds:
            os.close(fd)
        return message.decode().split("\n")


@pytest.fixture
def manager(sandbox: Sandbox) -> Iterator[Manager]:
    made = Manager(sandbox.directory / "manager")
    yield made
    made.socket.close()


@pytest.fixture
def speaker(bundle: MakeBundle) -> Callable[..., Bundle]:
    """A container that says these messages, one after another, and then runs a script."""

    def make(*messages: str, then: str = "sleep 1000") -> Bundle:
        made = bundle()
        (made.rootfs / "say.py").write_text(SAY)
        for place in ("/usr", "/lib", "/lib64", "/bin", "/etc"):
            if Path(place).is_dir():
                made.add_mount(place, "bind", place, ["rbind", "ro"])
        words = " ".join(f"'{message}'" for message in messages)
        return made.shell(f"/usr/bin/python3 -I -S /say.py {words}; {then}")

    return make


def test_start(runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]) -> None:
    """`start` returns when the container is ready, and tells whose pid that is on the host."""
    made = speaker("STATUS=beginning", "EXTEND_TIMEOUT_USEC=5000000", "READY=1\\nSTATUS=up")
    env = {"NOTIFY_SOCKET": str(manager.path)}
    container = runtime.create(made, env=env).check().container
    runtime.start(container, env=env).check()
    assert manager.hear() == ["STATUS=beginning"]
    assert manager.hear() == ["EXTEND_TIMEOUT_USEC=5000000"]
    assert manager.hear() == [f"MAINPID={runtime.pid(container)}", "READY=1", "STATUS=up"]


def test_run_detached(runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]) -> None:
    env = {"NOTIFY_SOCKET": str(manager.path)}
    container = runtime.run(speaker("READY=1"), "--detach", env=env).check().container
    assert manager.hear() == [f"MAINPID={runtime.pid(container)}", "READY=1"]


def test_run_in_the_foreground(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """As long as it stays: watchdog, barriers, the end."""
    made = speaker("READY=1", "WATCHDOG=1", "BARRIER=1", "STOPPING=1", then="exit 3")
    env = {"NOTIFY_SOCKET": str(manager.path)}
    command = [str(runtime.binary), "--root", str(runtime.root), "run", "--bundle"]
    command += [str(made.write().path), made.name]
    with subprocess.Popen(command, env={**runtime.sandbox.environment(), **env}) as process:
        assert manager.hear()[1:] == ["READY=1"]
        assert manager.hear() == ["WATCHDOG=1"]
        assert manager.hear() == ["BARRIER=1"]
        assert manager.hear() == ["STOPPING=1"]
        assert process.wait(PATIENCE) == 3


def test_an_abstract_socket(runtime: Runtime, speaker: Callable[..., Bundle]) -> None:
    name = f"ocirt-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(PATIENCE)
        runtime.run(speaker("READY=1"), "-d", env={"NOTIFY_SOCKET": f"@{name}"}).check()
        assert listener.recv(100).endswith(b"\nREADY=1")


def test_what_a_container_cannot_say(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """Another main process, descriptors to keep, or what nobody knows."""
    made = speaker("MAINPID=1", "FDSTORE=1", "X=1", "MAINPID=1\\nREADY=1\\nFDSTORE=1")
    env = {"NOTIFY_SOCKET": str(manager.path)}
    container = runtime.run(made, "--detach", env=env).check().container
    assert manager.hear() == [f"MAINPID={runtime.pid(container)}", "READY=1"]


def test_a_descriptor_of_the_container(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """None gets to the manager, who would have to close it: a barrier has one of ours."""
    made = speaker("BARRIER=1\\n", "READY=1")
    env = {"NOTIFY_SOCKET": str(manager.path)}
    container = runtime.create(made, env=env).check().container
    command = [str(runtime.binary), "--root", str(runtime.root), "start", container]
    with subprocess.Popen(command, env={**runtime.sandbox.environment(), **env}) as process:
        inode = int(manager.hear()[0].removeprefix("STATUS="))
        message, fds, _, _ = socket.recv_fds(manager.socket, 4096, 4)
        assert (message, len(fds)) == (b"BARRIER=1", 1)
        assert stat.S_ISFIFO(os.fstat(fds[0]).st_mode)
        assert os.fstat(fds[0]).st_ino != inode
        os.close(fds[0])
        assert manager.hear()[1] == "READY=1"
        assert process.wait(PATIENCE) == 0


def test_who_can_reach_it(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """The container's users, and nobody else on the host but root."""
    env = {"NOTIFY_SOCKET": str(manager.path)}
    made = speaker("READY=1")
    made.set("/process/user", {"uid": 1000, "gid": 1000})
    container = runtime.run(made, "--detach", env=env).check().container
    assert manager.hear()[1] == "READY=1"
    outer = runtime.root / container / "notify"
    assert stat.S_IMODE(outer.stat().st_mode) == 0o700
    shown = runtime.exec(container, "sh", "-c", "ls /run/notify; rm /run/notify/notify.sock")
    assert shown.stdout.split() == ["notify.sock"]
    assert not shown.ok
    runtime.delete(container, "--force").check()
    assert not outer.exists()


def test_one_that_is_never_ready(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """Its end is the end of waiting."""
    env = {"NOTIFY_SOCKET": str(manager.path)}
    made = speaker("STATUS=no", then="exit 1")
    container = runtime.run(made, "--detach", env=env).check().container
    assert manager.hear() == ["STATUS=no"]
    runtime.wait_for(container, "stopped")


def test_nobody_listens(runtime: Runtime, speaker: Callable[..., Bundle], sandbox: Sandbox) -> None:
    """One warning, and the container runs."""
    env = {"NOTIFY_SOCKET": str(sandbox.directory / "none")}
    done = runtime.run(speaker("STATUS=x", "READY=1"), "--detach", env=env).check()
    assert done.stderr.count("NOTIFY_SOCKET: the service manager cannot be told") == 1


def test_a_socket_of_the_configuration(
    runtime: Runtime, manager: Manager, bundle: MakeBundle
) -> None:
    """An engine that gives the container a socket is asked for none."""
    made = bundle().shell("echo $NOTIFY_SOCKET; ls /run")
    made.config["process"]["env"].append("NOTIFY_SOCKET=/run/own")
    env = {"NOTIFY_SOCKET": str(manager.path)}
    assert runtime.run(made, env=env).check().stdout.split() == ["/run/own"]


def test_a_signal_while_waiting(
    runtime: Runtime, manager: Manager, speaker: Callable[..., Bundle]
) -> None:
    """Whoever waits can be told not to; the container is there."""
    env = {**runtime.sandbox.environment(), "NOTIFY_SOCKET": str(manager.path)}
    container = runtime.create(speaker("STATUS=up"), env=env).check().container
    command = [str(runtime.binary), "--root", str(runtime.root), "start", container]
    with subprocess.Popen(command, env=env) as process:
        assert manager.hear() == ["STATUS=up"]
        assert runtime.status(container) == "running"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
    assert runtime.status(container) == "running"
