"""CVE-2019-16884: only procfs may be on /proc; labels are written through our own procfs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

FAKES = ("self/attr/exec", "self/attr/current", "self/fd/0", "sys/kernel/core_pattern", "kcore")


@pytest.fixture
def fake_proc(sandbox: Sandbox) -> Path:
    directory = sandbox.directory / "fake"
    for name in FAKES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("fake\n")
    return directory


@pytest.mark.parametrize("target", ["/proc", "/proc/", "/./proc", "/proc/../proc"])
@pytest.mark.parametrize("first", ["after procfs", "instead of procfs"])
def test_volume(
    runtime: Runtime, bundle: MakeBundle, fake_proc: Path, first: str, target: str
) -> None:
    made = bundle()
    if first == "instead of procfs":
        made.drop_mounts("/proc")
    made.bind(fake_proc, target)
    output = attempt(runtime, made, "cat /proc/self/attr/exec; stat -f -c %T /proc")
    assert output is None or "proc" in output.splitlines()[-1], "a fake /proc was accepted"
    assert (fake_proc / "self/attr/exec").read_text() == "fake\n"


@pytest.mark.parametrize("name", ["self", "self/attr", "self/attr/exec", "thread-self", "1"])
def test_volume_inside_proc(
    runtime: Runtime, bundle: MakeBundle, fake_proc: Path, name: str
) -> None:
    """Mounts on the files of /proc that runtimes write to are refused, or the write is not led."""
    source = fake_proc if "/" not in name else fake_proc / "self/attr"
    if name.endswith("exec"):
        source = source / "exec"
    made = bundle().bind(source, f"/proc/{name}")
    attempt(runtime, made, "true")
    assert (fake_proc / "self/attr/exec").read_text() == "fake\n"


@pytest.mark.parametrize("key", ["apparmorProfile", "selinuxLabel"])
def test_label(runtime: Runtime, bundle: MakeBundle, fake_proc: Path, key: str) -> None:
    """With a label asked for, a fake /proc must never let the start succeed unlabelled."""
    made = bundle(process={key: "docker-default" if key[0] == "a" else "a:b:c:s0"})
    made.drop_mounts("/proc").bind(fake_proc, "/proc")
    assert attempt(runtime, made, "true") is None
    assert (fake_proc / "self/attr/exec").read_text() == "fake\n"
