"""CVE-2022-1708, CVE-2022-31030: output is bounded by who reads it, input by who takes it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

GROWTH_KIB = 4096


def flooded(runtime: Runtime, bundle: Bundle, stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    """`run` in the foreground, with these streams."""
    bundle.write()
    command = [str(runtime.binary), "--root", str(runtime.root), "run"]
    command += ["--bundle", str(bundle.path), bundle.name]
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env=runtime.sandbox.environment(),
        start_new_session=True,
    )


def wait_for_output(runtime: Runtime, descriptor: int) -> None:
    """Until the program runs; fails after a while."""
    ready, _, _ = select.select([descriptor], [], [], PATIENCE)
    assert ready, "the program's output does not come"
    assert os.read(descriptor, 1), "it does not run"


def peak(pid: int) -> int:
    """The most memory that a process has had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_nobody_reads(runtime: Runtime, bundle: MakeBundle, *, terminal: bool) -> None:
    """The runtime holds little of what is not taken from it, and dies when it is told to."""
    made = bundle()
    made.config["process"].update(args=["/bin/sh", "-c", "exec yes"], terminal=terminal)
    ours, theirs = os.pipe()
    process = flooded(runtime, made, subprocess.DEVNULL, theirs)
    os.close(theirs)
    try:
        wait_for_output(runtime, ours)
        before = peak(process.pid)
        time.sleep(1)
        assert peak(process.pid) - before < GROWTH_KIB
        runtime.call("kill", made.name, "KILL").check()
        while os.read(ours, 1 << 20):
            pass
        assert process.wait(PATIENCE) == 128 + signal.SIGKILL
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("what", ["ends", "killed"])
def test_nobody_takes_the_input(runtime: Runtime, bundle: MakeBundle, what: str) -> None:
    """A program that does not read its terminal cannot hold the runtime up."""
    # The first process of a pid namespace gets no signal that it does not handle.
    last = {"ends": "sleep 1", "killed": "while :; do sleep 0.1; done"}[what]
    made = bundle()
    script = f"trap 'exit 3' TERM; stty raw -echo; echo ready; {last}"
    made.config["process"].update(args=["/bin/sh", "-c", script], terminal=True)
    ours, theirs = os.pipe()
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        process = flooded(runtime, made, source.stdout.fileno(), theirs)
        source.stdout.close()
        os.close(theirs)
        try:
            wait_for_output(runtime, ours)
            if what == "killed":
                time.sleep(0.3)
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE) == 3
            else:
                assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
            source.kill()
            os.close(ours)
            runtime.call("delete", "--force", made.name)
