"""CVE-2019-5736: whatever of the runtime a container can see runs from a sealed copy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.verdict import HostPrograms

SECONDS = 5.0
EXECS = 60


def _script(made: Bundle) -> None:
    """A program of the image that makes the runtime its own interpreter."""
    path = made.rootfs / "bin/again"
    path.write_text("#!/proc/self/exe\n")
    path.chmod(0o755)


@pytest.mark.parametrize("program", ["/proc/self/exe", "/bin/again", "/proc/1/exe"])
def test_run(
    runtime: Runtime, bundle: MakeBundle, host_programs: HostPrograms, program: str
) -> None:
    """The runtime's own program as the container's changes nothing."""
    made = bundle(args=[program, "--version"])
    _script(made)
    runtime.run(made)
    host_programs.check()


@pytest.mark.parametrize("program", ["/proc/self/exe", "/bin/again", "/proc/self/fd/3"])
def test_exec(
    runtime: Runtime, bundle: MakeBundle, host_programs: HostPrograms, program: str
) -> None:
    made = bundle(args=["sleep", "100"])
    _script(made)
    container = runtime.up(made)
    runtime.exec(container, program, "--version")
    host_programs.check()
    assert runtime.status(container) == "running"


@pytest.mark.race
@pytest.mark.parametrize("program", ["/bin/true", "/bin/again"])
def test_overwrite_newcomers(
    runtime: Runtime,
    bundle: MakeBundle,
    host_programs: HostPrograms,
    probe: Path,
    program: str,
) -> None:
    """No program of a process that enters can be opened for writing from inside."""
    made = bundle(args=["/probe", "exes", str(SECONDS)]).install(probe, "/probe")
    _script(made)
    findings = runtime.sandbox.directory / "findings"
    with findings.open("wb") as stdout:
        container = runtime.create(made, stdout=stdout).check().container
        runtime.start(container).check()
    end = time.monotonic() + SECONDS - 1
    for _ in range(EXECS):
        runtime.exec(container, program)
        if time.monotonic() > end:
            break
    runtime.wait_for(container, "stopped", timeout=SECONDS + PATIENCE)
    text = findings.read_text()
    assert "written " in text, text
    assert " written 0" in text.splitlines()[-1], text[:2000]
    host_programs.check()


def test_waiting_init(
    runtime: Runtime, bundle: MakeBundle, host_programs: HostPrograms, probe: Path
) -> None:
    """A created container that shares the host's pid namespace cannot be written to either."""
    waiting = runtime.create(bundle(args=["sleep", "100"])).check().container
    pid = runtime.pid(waiting)
    other = bundle().install(probe, "/probe").drop_namespace("pid")
    other.add_capabilities("CAP_SYS_PTRACE")
    output = runtime.run_output(other, ["/probe", "write", f"/proc/{pid}/exe"])
    assert output.startswith("errno "), output
    host_programs.check()


def test_start_with_a_hook_in_the_container(runtime: Runtime, bundle: MakeBundle) -> None:
    """What runs a startContainer hook is not in the container; nothing of ours can be seen."""
    made = bundle(args=["/bin/sleep", "100"])
    (made.rootfs / "tmp").mkdir(exist_ok=True)
    script = "for exe in /proc/[0-9]*/exe; do readlink $exe; done >/tmp/exe; echo $PPID >>/tmp/exe"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"{script}; exit 0"]}
    made.set("/root/readonly", False)
    made.set("/hooks", {"startContainer": [hook]})
    container = runtime.create(made).check().container
    runtime.start(container).check()
    *programs, parent = (made.rootfs / "tmp" / "exe").read_text().splitlines()
    assert parent == "0"
    assert [name for name in programs if not name.startswith(("/bin/", "/memfd:"))] == []
