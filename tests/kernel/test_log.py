"""--log journald: and syslog:, to stand-ins for the host's log in a mount namespace of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
SOCKETS = {"journald": "/run/systemd/journal/socket", "syslog": "/dev/log"}


def beside(kind: str, listening: Path) -> tuple[str, ...]:
    """A command in front of another, which finds ``listening`` where that log's socket is."""
    place = SOCKETS[kind]
    top = "/dev" if kind == "syslog" else "/run"
    own = "mkdir -m 755 $T; for f in null zero full random urandom tty; do touch $T/$f; "
    own += "mount --bind /dev/$f $T/$f; done; mkdir $T/pts; mount --bind /dev/pts $T/pts; "
    script = f"T={listening.parent}/{kind}-top; " + (own if kind == "syslog" else "mkdir $T; ")
    script += f"mkdir -p $T/{os.path.dirname(place)[len(top):]}; : >$T{place[len(top):]}; "
    script += f"mount --bind {listening} $T{place[len(top):]}; mount --rbind $T {top}; "
    script += 'exec "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh")


@pytest.mark.parametrize("name", ["", "web"])
@pytest.mark.parametrize("kind", sorted(SOCKETS))
def test_messages(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str, name: str
) -> None:
    """An error, with its level and who says it; on standard error, too."""
    listening = sandbox.directory / "listening"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(listening))
        listener.settimeout(PATIENCE)
        runtime.global_options = ("--log", f"{kind}:{name}")
        done = runtime.call("state", "none", wrapper=beside(kind, listening))
        assert_clear(runtime, done, "container does not exist")
        said = listener.recv(4096).decode()
    called = name or "ociruntime"
    if kind == "journald":
        fields = dict(line.split("=", 1) for line in said.splitlines())
        assert fields["PRIORITY"] == "3"
        assert fields["SYSLOG_IDENTIFIER"] == called
        assert fields["MESSAGE"].startswith("container does not exist: none")
    else:
        assert said.startswith(f"<27>{called}[")
        assert said.endswith("]: container does not exist: none")


@pytest.mark.parametrize("kind", sorted(SOCKETS))
def test_nobody_listens(runtime: Runtime, sandbox: Sandbox, kind: str) -> None:
    """It is said at once, as for a file that cannot be written."""
    nobody = sandbox.directory / "nobody"
    nobody.touch()
    runtime.global_options = ("--log", f"{kind}:")
    done = runtime.call("state", "none", wrapper=beside(kind, nobody))
    assert_clear(runtime, done, f"--log {kind}:")
