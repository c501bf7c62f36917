"""What a waiting container costs, and what many mounts do not."""

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


FEW_DESCRIPTORS = ("sh", "-c", 'ulimit -Sn 1024 && ulimit -Hn 4096 && exec "$@"', "sh")


@pytest.mark.parametrize("own", [False, True], ids=["the caller's limit", "process.rlimits"])
def test_more_bind_mounts_than_descriptors(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, own: bool
) -> None:
    """The usual soft limit of 1024 is no limit for mounts, and is what the program has."""
    source = sandbox.directory / "source"
    source.mkdir()
    made = bundle(args=["sh", "-c", "ls -d /m/* | wc -l; ulimit -Sn; ulimit -Hn"])
    for number in range(1200):
        made.add_mount(f"/m/{number}", "bind", source, ["bind"])
    limits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}] if own else []
    made.set("/process/rlimits", limits)
    lines = runtime.run(made, wrapper=FEW_DESCRIPTORS).check().stdout.split()
    assert lines[0] == "1200"
    # Go's runtime raises the limit of runc itself, and older ones hand it on.
    assert lines[1:] == (["77", "99"] if own else ["1024", "4096"]) or not runtime.is_ours
