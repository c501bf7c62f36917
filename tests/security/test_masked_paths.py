"""CVE-2025-31133, CVE-2025-62161: masks are the host's null device, whatever the container has.

/dev is shared with another container here, which has something else, or nothing, for null.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.race import rounds, swapping
from tests.support.verdict import attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list")
FILE_STATE = 'for f in {}; do [ -e $f ] && stat -c "%n %F %t:%T" $f; done; true'


def _shared_dev(sandbox: Sandbox, kind: str, canary: Canary) -> Path:
    directory = sandbox.directory / "dev"
    for name in ("pts", "shm", "mqueue"):
        (directory / name).mkdir(parents=True)
    for name, minor in (("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(directory / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    null = directory / "null"
    if kind == "symlink to the host":
        null.symlink_to(canary.file)
    elif kind == "symlink to proc":
        null.symlink_to("/proc/self/comm")
    elif kind == "regular file":
        null.write_text("")
    elif kind == "other device":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == "fifo":
        os.mkfifo(null)
    return directory


@pytest.mark.parametrize(
    "kind",
    ["symlink to the host", "symlink to proc", "regular file", "other device", "fifo", "missing"],
)
def test_shared_dev(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, sandbox: Sandbox, kind: str
) -> None:
    directory = _shared_dev(sandbox, kind, canary)
    made = bundle(linux={"maskedPaths": [*MASKED, "/sys/firmware"]}).drop_mounts("/dev")
    made.bind(directory, "/dev")
    output = attempt(runtime, made, FILE_STATE.format(" ".join(MASKED)))
    canary.check()
    if output is not None:
        lines = output.splitlines()
        assert lines, "no masked path exists here: the test proves nothing"
        for line in lines:
            assert line.endswith(" character special file 1:3"), f"not masked: {line}"


@pytest.mark.parametrize("path", MASKED)
def test_masked_file(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    """A mask is the null device, read-only, and stays where it is."""
    script = f'stat -c "%t:%T" {path}; grep " {path} " /proc/self/mountinfo; umount {path}'
    output = attempt(runtime, bundle(), f"{script} 2>/dev/null; cat {path} | wc -c")
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")
    assert output is not None
    device, mount, size = output.splitlines()
    assert device == "1:3"
    assert mount.split()[5].startswith("ro"), f"the mask is writable: {mount}"
    assert size == "0"


def test_masked_directory(runtime: Runtime, bundle: MakeBundle) -> None:
    """A masked directory is an empty read-only tmpfs."""
    made = bundle(linux={"maskedPaths": ["/sys/kernel"]})
    script = "ls -A /sys/kernel | wc -l; grep ' /sys/kernel ' /proc/self/mountinfo"
    output = attempt(runtime, made, script + "; touch /sys/kernel/x 2>&1")
    assert output is not None
    count, mount, touched = output.splitlines()
    assert count == "0"
    assert " tmpfs " in mount
    assert mount.split()[5].startswith("ro")
    assert "Read-only" in touched


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
@pytest.mark.parametrize("target", ["host", "inside"])
def test_symlinked_path(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, key: str, target: str
) -> None:
    """The masked path itself is a symlink of the image: nothing of the host is masked."""
    made = bundle(linux={key: ["/trap", "/trap/below"]})
    (made.rootfs / "trap").symlink_to(canary.path if target == "host" else "/etc")
    attempt(runtime, made, "true")
    canary.check()


def test_absent_path_is_skipped(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(linux={"maskedPaths": ["/proc/none"], "readonlyPaths": ["/proc/none", "/no/x"]})
    assert attempt(runtime, made, "echo done") == "done\n"


@pytest.mark.parametrize("path", ["/proc/sys", "/proc/sysrq-trigger"])
def test_readonly_path(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this kernel has no {path}")
    script = f"grep ' {path} ' /proc/self/mountinfo | tail -n 1"
    output = attempt(runtime, bundle(), script)
    assert output is not None
    assert output.split()[5].startswith("ro"), output


def test_renamed_proc(runtime: Runtime, bundle: MakeBundle, canary: Canary) -> None:
    """Masks lie in the procfs that we mounted, wherever that is by then.

    A hook of the test moves it: it runs between the mounts and the masks.
    """
    made = bundle(linux={"maskedPaths": [*MASKED], "readonlyPaths": ["/proc/sys"]})
    proc = made.rootfs / "proc"
    script = f"mv {proc} {proc}.moved && mkdir {proc}"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    made.config["hooks"] = {"createRuntime": [hook]}
    output = attempt(runtime, made, _everywhere())
    canary.check()
    _assert_masked(output)


@pytest.mark.race
def test_exchanged_proc(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path, race_seconds: float
) -> None:
    """As above, at any moment."""
    made = bundle(linux={"maskedPaths": [*MASKED], "readonlyPaths": ["/proc/sys"]})
    proc, other = made.rootfs / "proc", made.rootfs / "other"
    other.mkdir()
    ran = 0
    with swapping(probe, proc, other, race_seconds):
        for _ in rounds(race_seconds):
            output = attempt(runtime, made, _everywhere())
            ran += output is not None
            _assert_masked(output)
    canary.check()
    assert ran, "no round got through: the race was never run to its end"


def _everywhere() -> str:
    """Tell of each procfs in sight whether what is masked shows, wherever it is now."""
    files = " ".join(path.removeprefix("/proc/") for path in MASKED)
    return f"""
for place in /proc /proc.moved /other; do
    [ -e $place/self/mountinfo ] || continue
    echo "procfs"
    for file in {files}; do
        [ -e $place/$file ] && stat -c "%n %F %t:%T" $place/$file
    done
    (: >> $place/sys/kernel/domainname) 2>/dev/null && echo "$place/sys is writable"
done; true"""


def _assert_masked(output: str | None) -> None:
    for line in (output or "").splitlines():
        assert not line.endswith("writable"), line
        if " character special file " in line or " regular " in line:
            assert line.endswith(" 1:3"), f"not masked: {line}"
