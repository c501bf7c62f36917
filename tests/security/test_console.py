"""CVE-2025-52565, CVE-2026-88264: the console is the container's own terminal, made in its root."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.terminal import ConsoleSocket
from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.canary import Canary
    from tests.support.runtime import Result, Runtime
    from tests.support.sandbox import Sandbox

SCRIPT = "stat -c '%t' /dev/console; tty; grep ' /dev/console ' /proc/self/mountinfo; echo end"


def _run_on_terminal(runtime: Runtime, made: Bundle) -> tuple[Result, str]:
    """Create and start with a console socket; return create's result and the terminal's output."""
    made.shell(SCRIPT).set("/process/terminal", True)
    with ConsoleSocket(runtime.sandbox.directory / "test-console") as terminal:
        result = runtime.create(made, "--console-socket", str(terminal.path))
        if not result.ok:
            return result, ""
        terminal.receive(PATIENCE)
        runtime.start(result.container).check()
        return result, terminal.read(PATIENCE)


def test_plain(runtime: Runtime, bundle: MakeBundle) -> None:
    """The ordinary case: console is a bind of the container's own terminal."""
    result, output = _run_on_terminal(runtime, bundle())
    result.check()
    lines = output.splitlines()
    assert lines[-1] == "end"
    assert lines[0] == "88", "not a pty slave (major 136)"
    assert lines[1].startswith("/dev/"), output
    assert " devpts " in lines[2]


@pytest.mark.parametrize("name", ["console", "ptmx", "pts", "tty", "null", "fd", "stdin"])
@pytest.mark.parametrize("terminal", ["terminal", "none"])
def test_symlink_in_image(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, name: str, terminal: str
) -> None:
    """No mount on /dev: every name the runtime makes there is a symlink to the host."""
    made = bundle().drop_mounts("/dev")
    target = canary.path if name in ("pts", "fd") else canary.path / "made"
    (made.rootfs / "dev" / name).symlink_to(target)
    if terminal == "terminal":
        result, _ = _run_on_terminal(runtime, made)
    else:
        result = runtime.run(made.shell("true"))
    canary.check()
    if not result.ok:
        assert_clear(runtime, result)


@pytest.mark.parametrize("shape", ["symlinks", "devices", "file as ptmx"])
def test_shared_dev(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, sandbox: Sandbox, shape: str
) -> None:
    """A /dev of another container with fake terminals: console must not become the target."""
    directory = sandbox.directory / "dev"
    (directory / "pts").mkdir(parents=True)
    for number in range(8):
        fake = directory / "pts" / str(number)
        if shape == "devices":
            os.mknod(fake, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        else:
            fake.symlink_to(canary.file)
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(directory / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    if shape == "file as ptmx":
        (directory / "ptmx").write_text("")
    else:
        (directory / "ptmx").symlink_to("pts/ptmx")
    (directory / "console").symlink_to(canary.path / "made")
    made = bundle().drop_mounts("/dev").bind(directory, "/dev")
    result, output = _run_on_terminal(runtime, made)
    canary.check()
    if result.ok:
        assert "canary" not in output
    else:
        assert_clear(runtime, result)


@pytest.mark.parametrize("kind", ["missing", "file", "not listening"])
def test_bad_console_socket(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str
) -> None:
    path = Path(sandbox.directory, "test-bad")
    if kind == "file":
        path.write_text("")
    if kind == "not listening":
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(path))
    made = bundle(process={"terminal": True})
    result = runtime.create(made, "--console-socket", str(path))
    assert_clear(runtime, result, "console")
