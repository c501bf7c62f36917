"""CVE-2025-52881, CVE-2025-62596: what we write to /proc goes through a procfs of our own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.race import rounds, swapping
from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

KEY = "net.ipv4.ip_default_ttl"
VALUE = "77"
FILE = "/proc/sys/net/ipv4/ip_default_ttl"


def _read_in_network_namespace(pid: int) -> str:
    """Read the sysctl through the host's own procfs from inside the container's network."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "cat", FILE], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _judge(runtime: Runtime, made: Bundle) -> bool:
    """Create; when that succeeds the sysctl has its value, whoever lies to the container."""
    result = runtime.create(made)
    if not result.ok:
        assert_clear(runtime, result)
        return False
    assert _read_in_network_namespace(runtime.pid(result.container)) == VALUE, "write was led away"
    runtime.delete(result.container, "--force").check()
    return True


@pytest.mark.parametrize(
    "target", ["/proc/sys", "/proc/sys/net", "/proc/sys/net/ipv4", FILE, "/proc/self/attr"]
)
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_mount_over(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    sandbox: Sandbox,
    target: str,
    kind: str,
) -> None:
    made = bundle(args=["sleep", "100"], linux={"sysctl": {KEY: VALUE}})
    fake = sandbox.directory / "fake"
    name = fake / FILE.removeprefix(target).lstrip("/")
    name.parent.mkdir(parents=True, exist_ok=True)
    if target == FILE:
        source = canary.file
    else:
        name.symlink_to(canary.file)
        source = fake
    if kind == "tmpfs":
        made.add_mount(target, "tmpfs", "tmpfs", [])
    else:
        made.bind(source, target)
    _judge(runtime, made)
    canary.check()


@pytest.mark.race
def test_race_on_shared_volume(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    sandbox: Sandbox,
    probe: Path,
    race_seconds: float,
) -> None:
    """A mount below a shared volume is led to /proc/sys/net while the sysctl is being written."""
    volume, fake = sandbox.directory / "volume", sandbox.directory / "fake"
    (volume / "swap").mkdir(parents=True)
    (volume / "link").symlink_to("/proc/sys/net")
    (fake / "ipv4").mkdir(parents=True)
    (fake / "ipv4/ip_default_ttl").symlink_to(canary.file)
    made = bundle(args=["sleep", "100"], linux={"sysctl": {KEY: VALUE}})
    made.bind(volume, "/vol").bind(fake, "/vol/swap")
    with swapping(probe, volume / "swap", volume / "link", race_seconds):
        for _ in rounds(race_seconds):
            _judge(runtime, made)
            canary.check()


def test_label_file_mounted_over(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """oom_score_adj is written for real although its file is covered in the container."""
    fake = sandbox.directory / "fake"
    fake.write_text("0")
    made = bundle(process={"oomScoreAdj": 321}).bind(fake, "/proc/1/oom_score_adj")
    output = attempt(runtime, made, "sleep 0")
    assert fake.read_text() == "0"
    assert output in (None, "")
