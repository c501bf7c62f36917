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

SECONDS = 4.0
EXECS = 100


def _watch(runtime: Runtime, made: Bundle, canary: Canary) -> tuple[str, Path]:
    """Start a container that watches; return its id and the file with its findings."""
    made.args = ["/probe", "fds", str(canary.file), str(SECONDS)]
    findings = runtime.sandbox.directory / "findings"
    with findings.open("wb") as stdout:
        container = runtime.create(made, stdout=stdout).check().container
        runtime.start(container).check()
    deadline = time.monotonic() + PATIENCE
    while "ready" not in findings.read_text():
        assert time.monotonic() < deadline, "the probe does not start"
        time.sleep(0.01)
    return container, findings


def _judge(findings: Path) -> None:
    deadline = time.monotonic() + SECONDS + PATIENCE
    while "seen" not in findings.read_text():
        assert time.monotonic() < deadline, "the probe does not end"
        time.sleep(0.05)
    text = findings.read_text()
    assert not text.startswith("ready\nseen 0 "), "the probe saw nobody: the test proves nothing"
    assert text.rstrip().endswith("opened 0 traced 0"), text[:2000]


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
    container, findings = _watch(runtime, made, canary)
    end = time.monotonic() + SECONDS - 0.5
    for _ in range(EXECS):
        result = runtime.exec(container, "/bin/true")
        assert result.ok or "seen" in findings.read_text(), str(result)
        if time.monotonic() > end:
            break
    _judge(findings)


@pytest.mark.race
def test_create_in_shared_pid_namespace(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path
) -> None:
    """The watcher is not in the new container, it only shares its pid namespace."""
    container, findings = _watch(runtime, bundle().install(probe, "/probe"), canary)
    pid = runtime.pid(container)
    end = time.monotonic() + SECONDS - 0.5
    other = bundle().drop_namespace("pid").add_namespace("pid", f"/proc/{pid}/ns/pid")
    while True:
        result = runtime.run(other)
        assert result.ok or "seen" in findings.read_text(), str(result)
        if time.monotonic() > end:
            break
    _judge(findings)
