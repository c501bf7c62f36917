"""The hook is killed before each system call that changes something: `net gc` leaves nothing.

strace(1) kills it when it enters the call: all before has been done, and nothing else.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.network.host import Container, Host

# What the hook can change the world with; programs that it starts are killed by nobody.
CALLS = "sendto,rename,unlink,mkdir,openat,setns,write,move_mount,umount2,vfork,clone3,clone"
CHANGING = re.compile(r"^(\w+)\((.*)")
# Of these only the ones that make or change something.
READING = {"openat": "O_CREAT|O_WRONLY"}


def traced(host: Host, container: Container, status: str, *options: str) -> int:
    """Call the hook under strace with these options; its exit status."""
    document = {
        "id": container.id,
        "status": status,
        "pid": container.pid,
        "bundle": f"/nowhere/{container.id}",
    }
    command = [str(host.program), "--state", str(host.state), "--publish", "8001:80"]
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
    assert shutil.which("strace")
    log = host.sandbox.directory / "strace.log"
    watch = ("-qq", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log))
    host.container("--publish", "8001:80").stop()  # what is set once for the whole host is set
    host.net("gc")
    shutil.rmtree(host.state)
    container = host.container("--publish", "8001:80", attach=status == "stopped")
    assert traced(host, container, status, *watch) == 0
    todo = steps(log)
    container.stop()
    assert len(todo) > (20 if status == "creating" else 5)
    host.net("gc")
    for name, number in todo:
        shutil.rmtree(host.state)
        container = host.container("--publish", "8001:80", attach=status == "stopped")
        inject = f"inject={name}:signal=KILL:when={number}"
        assert traced(host, container, status, "-qq", "-e", inject, "-o", "/dev/null") == -9
        container.end()
        container.ended = True
        host.net("gc")
        assert (name, number, host.leftovers()) == (name, number, [])
        files = sorted(path.name for path in host.state.rglob("*") if path.is_file())
        assert set(files) <= {"lock", "bridge.json"}, (name, number)
