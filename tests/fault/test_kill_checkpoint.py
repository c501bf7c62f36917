"""Killing `checkpoint` and `restore` at any moment leaves nothing that `delete` does not find.

OCIRT_KILLS=50 kills each of both so often, at other moments.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.criu import checkpoint, count, restore
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime

# Of what an undisturbed call takes, so that the kills meet all of it.
PARTS = int(os.environ.get("OCIRT_KILLS", "5"))
CHANCE = random.Random(9)


def start(host: Runtime, *words: str) -> subprocess.Popen[bytes]:
    command = [str(host.binary), "--root", str(host.root), *host.global_options, *words]
    return subprocess.Popen(
        command,
        env=host.sandbox.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def interrupted(process: subprocess.Popen[bytes], after: float) -> None:
    """Kill it ``after`` so many seconds, if it still runs."""
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def settled(images: Path) -> None:
    """Wait until CRIU, which notices by itself, is done with the images."""
    deadline = time.monotonic() + PATIENCE
    while users(images):
        assert time.monotonic() < deadline, f"somebody still uses {images}"
        time.sleep(0.01)


def users(images: Path) -> list[str]:
    """The processes of criu that have something open in there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(fd.readlink()) for fd in process.joinpath("fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith(str(images)) for link in links):
            found.append(process.name)
    return found


# A CRIU that has just been told to stop the container, and hears no more.
WAITING = """#!{python} -I
import socket, sys
sys.path.insert(0, {checkout!r})
from ociruntime.checkpoint import messages as m
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, int(sys.argv[2]))
request = m.REQUEST.decode(connection.recv(65536))
if request["type"] == m.VERSION:
    version = dict(major=4, minor=2, sublevel=1)
    connection.send(m.RESPONSE.encode(dict(type=m.VERSION, success=True, version=version)))
else:
    notify = dict(script="pre-dump", pid=0)
    connection.send(m.RESPONSE.encode(dict(type=m.NOTIFY, success=True, notify=notify)))
    while connection.recv(65536):
        pass
"""


def test_a_frozen_container_goes_on(runtime: Runtime, counter: Bundle, images: Path) -> None:
    """Who has frozen it for CRIU is killed before CRIU has stopped anything itself."""
    stand_in = runtime.sandbox.directory / "criu"
    checkout = str(Path(__file__).resolve().parents[2])
    stand_in.write_text(WAITING.format(python=sys.executable, checkout=checkout))
    stand_in.chmod(0o755)
    runtime.global_options = ("--criu", str(stand_in))
    container = runtime.up(counter)
    reached = count(runtime, container)
    process = start(runtime, "checkpoint", "--image-path", str(images), container)
    runtime.wait_for(container, "paused")
    process.kill()
    process.wait()
    runtime.wait_for(container, "running")
    count(runtime, container, reached)


@pytest.mark.slow
def test_checkpoint_is_killed(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """The container goes on, or it was written and is gone."""
    container = criu_host.up(counter)
    count(criu_host, container)
    began = time.monotonic()
    checkpoint(criu_host, container, images / "0", "--leave-running").check()
    whole = time.monotonic() - began
    for part in range(PARTS):
        where = images / str(part + 1)
        process = start(criu_host, "checkpoint", "--image-path", str(where), container)
        interrupted(process, whole * (part + CHANCE.random()) / PARTS)
        settled(where)
        word = criu_host.state(container)
        if not word.ok or word.json()["status"] == "stopped":
            criu_host.delete(container, "--force").check()
            container = criu_host.up(counter)
        count(criu_host, container, count(criu_host, container))
    criu_host.delete(container, "--force").check()


@pytest.mark.slow
def test_restore_is_killed(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    container = criu_host.up(counter)
    count(criu_host, container)
    checkpoint(criu_host, container, images).check()
    began = time.monotonic()
    criu_host.delete(restore(criu_host, counter, images).check().container, "--force").check()
    whole = time.monotonic() - began
    words = ("--detach", "--image-path", str(images), "--bundle", str(counter.path))
    for part in range(PARTS):
        process = start(criu_host, "restore", *words, container)
        interrupted(process, whole * (part + CHANCE.random()) / PARTS)
        settled(images)
        criu_host.delete(container, "--force").check()
        assert not criu_host.state(container).ok
    # Nothing stands in the way of another one.
    restore(criu_host, counter, images).check()
