"""The example bundles do what they say, and the demonstration notices when something is off."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles.__main__ import build
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

DEMO = Path(__file__).resolve().parents[2] / "bundles" / "demo.sh"
MAPPED = ("uid=0(root)", "100000")
LIMITED = (": 33554432", ": 16", "50000")
NO_CAPABILITIES = ("uid=1000(user)", "5(tty)", "0077", "CapEff:\t0000000000000000")


def made(sandbox: Sandbox, name: str) -> Path:
    path = sandbox.bundles / name
    build(name, path)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hello", ("Hello from hello\n", "    1 root", "mount /proc (proc)")),
        ("userns", MAPPED),
        ("limits", LIMITED),
        ("sysctl", ("1\n2048\n",)),
        ("user", NO_CAPABILITIES),
    ],
)
def test_output(runtime: Runtime, sandbox: Sandbox, name: str, words: tuple[str, ...]) -> None:
    output = runtime.run(made(sandbox, name)).check().stdout
    for word in words:
        assert word in output


def test_hooks(runtime: Runtime, sandbox: Sandbox) -> None:
    bundle = made(sandbox, "hooks")
    result = runtime.run(bundle).check()
    lines = [line.split(" ", 1) for line in (bundle / "hooks.log").read_text().splitlines()]
    assert [phase for phase, _ in lines] == ["createRuntime", "poststart", "poststop"]
    states = [json.loads(text) for _, text in lines]
    assert {state["id"] for state in states} == {result.container}
    assert [state["status"] for state in states][::2] == ["creating", "stopped"]


def test_service(runtime: Runtime, sandbox: Sandbox) -> None:
    output = sandbox.directory / "output"
    with output.open("wb") as file:
        container = runtime.create(made(sandbox, "service"), stdout=file).check().container
    runtime.start(container).check()
    deadline = time.monotonic() + PATIENCE
    while output.read_text() != "ready\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    runtime.kill(container).check()
    runtime.wait_for(container, "stopped")
    assert output.read_text() == "ready\ngoodbye\n"


def demo(sandbox: Sandbox, runtime: Path | str) -> subprocess.CompletedProcess[str]:
    environment = {**sandbox.environment(), "OCIRUNTIME": str(runtime)}
    return subprocess.run(
        ["sh", str(DEMO)], env=environment, capture_output=True, text=True, check=False, cwd="/"
    )


def test_demo(runtime_binary: Path, sandbox: Sandbox) -> None:
    done = demo(sandbox, runtime_binary)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "Hello from hello" in done.stdout
    assert "no state, no mount, no cgroup, no process" in done.stdout


# sed programs that spoil what the runtime prints, and what the demonstration must say then
SPOILED = {
    "s/^Hello from hello$/Hello from host/": "hostname",
    "s/^    1 root/   11 root/": "PID 1",
    's/"status": "created"/"status": "running"/': "not created",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_demo_notices(runtime_binary: Path, sandbox: Sandbox, spoil: str) -> None:
    """A runtime that answers wrongly; the demonstration fails, and cleans up all the same."""
    fake = sandbox.directory / "fake"
    fake.write_text(
        f'#!/bin/sh\nout=$(mktemp)\n{runtime_binary} "$@" > $out\nstatus=$?\n'
        f"sed '{spoil}' $out\nrm $out\nexit $status\n"
    )
    os.chmod(fake, 0o755)
    done = demo(sandbox, fake)
    assert done.returncode == 1
    assert done.stderr.startswith("demo: ")
    assert SPOILED[spoil] in done.stderr


def test_demo_without_runtime(sandbox: Sandbox) -> None:
    done = demo(sandbox, "/does/not/exist")
    assert done.returncode == 1
    assert "make demo" in done.stderr
