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


# As a caller who may not raise it again (setrlimit(2)).
FEW_DESCRIPTORS = (
    'ulimit -Sn {} && ulimit -Hn {} && exec setpriv --bounding-set=-sys_resource "$@"'
)


@pytest.mark.parametrize("own", [False, True], ids=["the caller's limit", "process.rlimits"])
@pytest.mark.parametrize(
    ("mounts", "soft", "hard"), [(1200, 1024, 4096), (250, 100, 4096), (300, 64, 64), (16, 64, 64)]
)
def test_more_bind_mounts_than_descriptors(
    runtime: Runtime,
    bundle: MakeBundle,
    sandbox: Sandbox,
    mounts: int,
    soft: int,
    hard: int,
    own: bool,
) -> None:
    """Neither limit is one for mounts, and the program has what the caller has."""
    source = sandbox.directory / "source"
    source.mkdir()
    made = bundle(args=["sh", "-c", "ls -d /m/* | wc -l; ulimit -Sn; ulimit -Hn"])
    for number in range(mounts):
        made.add_mount(f"/m/{number}", "bind", source, ["bind"])
    limits = [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}] if own else []
    made.set("/process/rlimits", limits)
    wrapper = ("sh", "-c", FEW_DESCRIPTORS.format(soft, hard), "sh")
    lines = runtime.run(made, wrapper=wrapper).check().stdout.split()
    assert lines[0] == str(mounts)
    # Go's runtime raises the limit of runc itself, and older ones hand it on.
    assert lines[1:] == (["50", "60"] if own else [str(soft), str(hard)]) or not runtime.is_ours
