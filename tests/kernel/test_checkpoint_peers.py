"""checkpoint and restore beside runc's, on the same container: what both see must be the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.criu import COUNTING, NEWER, checkpoint, count, criu, restore
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]
RUNC = NEWER.parent / "runc-sid"
PHASES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def story(host: Runtime, made: Bundle, images: Path, log: Path) -> dict[str, Any]:
    """What happens to a container that is written twice and restored, as anybody can see it."""
    told: dict[str, Any] = {}
    stdin = {"stdout": host.sandbox.null.open("r+b", buffering=0)}
    try:
        container = host.create(made, **stdin, stderr=stdin["stdout"]).check().container
        host.start(container).check()
        told["created"] = checkpoint(host, host.sandbox.new_id(), images / "none").ok
        reached = count(host, container, 3)
        log.write_text("")
        told["left"] = checkpoint(host, container, images / "1", "--leave-running").status
        told["left hooks"] = log.read_text().split()
        told["left status"] = host.status(container)
        told["taken"] = checkpoint(host, container, images / "2").status
        told["taken hooks"] = log.read_text().split()
        told["gone"] = host.state(container).ok
        log.write_text("")
        again = restore(host, made, images / "2", **stdin, stderr=stdin["stdout"])
        told["restored"] = again.status
        told["restored hooks"] = log.read_text().split()
        told["counts on"] = count(host, again.container, reached) > reached
        told["pid"] = host.exec(again.container, "cat", "/proc/1/stat").stdout.split()[0]
        mounts = host.exec(again.container, "cat", "/proc/self/mountinfo").stdout.splitlines()
        told["mounts"] = sorted(line.split()[4] for line in mounts)
        told["bundle"] = host.state(again.container).json()["bundle"]
        log.write_text("")
        host.delete(again.container, "--force").check()
        told["deleted hooks"] = log.read_text().split()
    finally:
        stdin["stdout"].close()
    return told


@pytest.mark.slow
def test_the_same_story(
    criu_host: Runtime, bundle: MakeBundle, images: Path, sandbox: Sandbox
) -> None:
    if not RUNC.exists():
        pytest.skip("no runc of Debian sid here: run `make newer-criu`")
    log = sandbox.directory / "hooks"
    made = bundle().shell(COUNTING).add_mount("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev"])
    for phase in PHASES:
        script = f"read state; echo {phase} >>{log}"
        if phase != "startContainer":
            made.set(f"/hooks/{phase}", [{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    ours = story(criu_host, made, images / "ours", log)
    peer = Runtime(RUNC, sandbox)
    peer.root = sandbox.directory / "runc"
    path = f"{criu().parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {**sandbox.environment(), "PATH": path}
    sandbox.environment = lambda: environment  # type: ignore[method-assign]
    theirs = story(peer, made, images / "theirs", log)
    assert ours == theirs
