"""The hook is killed before each system call that changes something: `net gc` leaves nothing.

strace(1) kills it when it enters the call: all before has been done, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime.network.attachments import namespaces_in_use
from tests.network.host import Container, Host
from tests.support.patience import PATIENCE

# What the hook can change the world with; programs that it starts are killed by nobody.
CALLS = "sendto,rename,unlink,mkdir,openat,setns,write,move_mount,umount2,vfork,clone3,clone"
CHANGING = re.compile(r"^(\w+)\((.*)")
# Of these only the ones that make or change something.
READING = {"openat": "O_CREAT|O_WRONLY"}


# What keeping a network namespace for standard plugins adds to them.
KEEPING = ("rename", "move_mount", "umount2", "unlink")


def traced(
    host: Host, container: Container, status: str, hook: tuple[str, ...], *options: str
) -> int:
    """Call the hook with the options ``hook`` under strace with ``options``; its exit status."""
    document = {
        "id": container.id,
        "status": status,
        "pid": container.pid,
        "bundle": f"/nowhere/{container.id}",
    }
    command = [str(host.program), "--state", str(host.state), *hook]
    done = host.run("strace", *options, *command, check=False, input=json.dumps(document), env={})
    return int(done.returncode)


def steps(log: Path) -> list[tuple[str, int]]:
    """(system call, which one of its kind) for each that changes something."""
    found = []
    numbers: dict[str, int] = {}
    for line in log.read_text().splitlines():
        match = CHANGING.match(line)
        if match is None:
            continue
        name, arguments = match.groups()
        numbers[name] = numbers.get(name, 0) + 1
        if name in READING and not any(flag in arguments for flag in READING[name].split("|")):
            continue
        if "RTM_GET" in arguments:
            continue
        found.append((name, numbers[name]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("status", ["creating", "stopped"])
def test_killed_before_each_step(host: Host, status: str) -> None:
    kill_everywhere(host, status, "--publish", "8001:80")


@pytest.mark.parametrize("status", ["creating", "stopped"])
def test_killed_while_a_namespace_is_kept(
    host: Host, conflist: Callable[..., str], status: str
) -> None:
    network = conflist("alone", {"type": "loopback"})
    kill_everywhere(host, status, "--network", network, names=KEEPING)
    assert str(host.state) not in Path("/proc/self/mountinfo").read_text()


def kill_everywhere(host: Host, status: str, *hook: str, names: tuple[str, ...] = ()) -> None:
    """Kill the hook before each of its calls, or before those called ``names``."""
    assert shutil.which("strace")
    attach = status == "stopped"
    log = host.sandbox.directory / "strace.log"
    watch = ("-qq", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log))
    host.container(*hook).stop()  # what is set once for the whole host is set
    host.net("gc")
    shutil.rmtree(host.state)
    container = host.container(*hook, attach=attach)
    assert traced(host, container, status, hook, *watch) == 0
    todo = [step for step in steps(log) if step[0] in names or not names]
    container.stop()
    assert len(todo) >= 3
    host.net("gc")
    for name, number in todo:
        shutil.rmtree(host.state)
        container = host.container(*hook, attach=attach)
        inject = f"inject={name}:signal=KILL:when={number}"
        killed = traced(host, container, status, hook, "-qq", "-e", inject, "-o", "/dev/null")
        assert killed == -9
        inode = os.stat(container.path).st_ino
        container.end()
        container.ended = True
        # A program that it had started ends by itself.
        deadline = time.monotonic() + PATIENCE
        while inode in namespaces_in_use():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        host.net("gc")
        assert (name, number, host.leftovers()) == (name, number, [])
        files = sorted(path.name for path in host.state.rglob("*") if path.is_file())
        assert set(files) <= {"lock", "bridge.json"}, (name, number)
