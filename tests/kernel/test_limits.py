"""What a waiting container costs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]
# crun's, as measured once on another machine (KiB); design budget.
MOST_KIB = 850


def pss(pid: int) -> int:
    """Proportional set size in KiB (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def waiting(runtime: Runtime, bundle: Bundle) -> int:
    """PSS of the init of a created container (KiB)."""
    return pss(runtime.pid(runtime.create(bundle).check().container))


def test_waiting_init(runtime: Runtime, bundle: MakeBundle) -> None:
    assert waiting(runtime, bundle(args=["sleep", "100"])) < MOST_KIB or not runtime.is_ours


def test_waiting_init_against_crun(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    crun = shutil.which("crun")
    if crun is None or not runtime.is_ours:
        pytest.skip("compares ociruntime with an installed crun")
    ours = waiting(runtime, bundle(args=["sleep", "100"]))
    peer = Runtime(Path(crun), sandbox)
    peer.root = sandbox.directory / "crun"
    try:
        theirs = waiting(peer, bundle(args=["sleep", "100"]))
    finally:
        assert list(peer.remove_all()) == []
    assert ours < theirs, f"{ours} KiB, crun {theirs} KiB"


def test_waiting_init_is_alone(runtime: Runtime, bundle: MakeBundle) -> None:
    """No interpreter, no helper stays with a created container."""
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    pids = runtime.ps(container, "--format", "json").check().json()
    assert pids == [runtime.pid(container)]
    maps = Path(f"/proc/{pids[0]}/maps").read_text()
    assert "python" not in maps or not runtime.is_ours
