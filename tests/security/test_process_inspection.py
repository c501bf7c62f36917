"""CVE-2016-9962: what enters a container cannot be inspected or traced from inside.

The probe walks /proc over and over: it tries to reach a file of the host through the cwd, root
and descriptors of every newcomer, and to attach to newcomers that run no program of its rootfs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime

# Where nobody has come in the first time, because the machine is loaded, there is a second one.
TIMES = (4.0, 60.0)
EXECS = 100
NOBODY = "the probe saw nobody: the test proves nothing"


def _watch(runtime: Runtime, made: Bundle, canary: Canary, seconds: float) -> tuple[str, Path]:
    """Start a container that watches; return its id and the file with its findings."""
    made.args = ["/probe", "fds", str(canary.file), str(seconds)]
    findings = runtime.sandbox.directory / "findings"
    with findings.open("wb") as stdout:
        container = runtime.create(made, stdout=stdout).check().container
        runtime.start(container).check()
    deadline = time.monotonic() + PATIENCE
    while "ready" not in findings.read_text():
        assert time.monotonic() < deadline, "the probe does not start"
        time.sleep(0.01)
    return container, findings


def _judge(findings: Path, seconds: float) -> bool:
    """Whether it saw anybody; fails if it saw what it should not."""
    deadline = time.monotonic() + seconds + PATIENCE
    while "seen" not in findings.read_text():
        assert time.monotonic() < deadline, "the probe does not end"
        time.sleep(0.05)
    text = findings.read_text()
    assert text.rstrip().endswith("opened 0 traced 0"), text[:2000]
    return not text.startswith("ready\nseen 0 ")


def _userns(made: Bundle) -> Bundle:
    """Map root to 100000: CAP_SYS_PTRACE then means nothing for a non-dumpable process."""
    for parent, names, files in os.walk(made.rootfs):
        for name in (*names, *files):
            os.chown(os.path.join(parent, name), 100000, 100000, follow_symlinks=False)
    os.chown(made.rootfs, 100000, 100000)
    made.add_namespace("user")
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.set("/linux/uidMappings", mapping).set("/linux/gidMappings", mapping)
    return made


@pytest.mark.race
@pytest.mark.parametrize("kind", ["plain", "userns with CAP_SYS_PTRACE"])
def test_exec(runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path, kind: str) -> None:
    made = bundle().install(probe, "/probe")
    if kind != "plain":
        _userns(made).add_capabilities("CAP_SYS_PTRACE")
    for seconds in TIMES:
        container, findings = _watch(runtime, made, canary, seconds)
        end = time.monotonic() + seconds - 0.5
        for _ in range(EXECS):
            result = runtime.exec(container, "/bin/true")
            assert result.ok or "seen" in findings.read_text(), str(result)
            if time.monotonic() > end:
                break
        if _judge(findings, seconds):
            return
        runtime.delete(container, "--force").check()
    pytest.fail(NOBODY)


@pytest.mark.race
def test_create_in_shared_pid_namespace(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path
) -> None:
    """The watcher is not in the new container, it only shares its pid namespace."""
    made, other = bundle().install(probe, "/probe"), bundle()
    for seconds in TIMES:
        container, findings = _watch(runtime, made, canary, seconds)
        end = time.monotonic() + seconds - 0.5
        namespace = f"/proc/{runtime.pid(container)}/ns/pid"
        other.drop_namespace("pid").add_namespace("pid", namespace)
        while True:
            result = runtime.run(other)
            assert result.ok or "seen" in findings.read_text(), str(result)
            if time.monotonic() > end:
                break
        if _judge(findings, seconds):
            return
        runtime.delete(container, "--force").check()
    pytest.fail(NOBODY)
