"""podman run --sdnotify in its modes: who tells the service manager, and of whom."""

from __future__ import annotations

import pytest

from tests.kernel.test_notify import SAY
from tests.support.engines.podman import PodmanWith

LISTEN = """
import os, socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("/var/tmp/manager")
manager.settimeout(90)
open("/var/tmp/listening", "w").close()
said = b""
while b"READY=1" not in said:
    said += manager.recv(4096) + b"\\n"
sys.stdout.write(said.decode())
"""
VOLUMES = [
    word for place in ("/usr", "/lib", "/lib64", "/bin") for word in ("-v", f"{place}:{place}:ro")
]


@pytest.fixture
def listening(podman: PodmanWith) -> str:
    """A service manager listens; what it was told until READY=1 is in /var/tmp/said."""
    podman.host.shell(f"mkdir -p /var/tmp/say; cat >/var/tmp/say/say.py <<'END'\n{SAY}\nEND")
    podman.host.shell(f"cat >/var/tmp/listen.py <<'END'\n{LISTEN}\nEND")
    podman.host.shell(
        "rm -f /var/tmp/manager /var/tmp/listening; "
        "python3 /var/tmp/listen.py >/var/tmp/said 2>&1 & "
        "until [ -e /var/tmp/listening ]; do sleep 0.01; done"
    )
    return "/var/tmp/manager"


def wait_for_ready(podman: PodmanWith) -> list[str]:
    """The lines that the manager was told."""
    log = podman.podman.directory / "host.log"
    podman.host.wait_until(
        lambda: "READY=1" in podman.host.shell("cat /var/tmp/said"), "READY=1", log
    )
    return podman.host.shell("cat /var/tmp/said").split()


def speaker(podman: PodmanWith, mode: str, *options: str) -> list[str]:
    """The command line of a container that says READY=1, if there is somebody to tell."""
    say = "touch /saying; python3 -I -S /say/say.py READY=1"
    script = f'if [ -n "$NOTIFY_SOCKET" ]; then {say}; fi; touch /said; sleep 1000'
    words = ("--detach", f"--sdnotify={mode}", *options, *VOLUMES, "-v", "/var/tmp/say:/say:ro")
    return podman.words("run", *words, "--", "sh", "-c", script)


@pytest.mark.parametrize("mode", ["container", "conmon"])
def test_ready(podman: PodmanWith, listening: str, mode: str) -> None:
    """READY=1 comes from the container, or from conmon at once; a main process is named."""
    env = {"NOTIFY_SOCKET": listening}
    container = podman.host.run(*speaker(podman, mode), env=env).check().output
    said = wait_for_ready(podman)
    if mode == "container":
        assert podman("exec", container, "test", "-e", "/saying").status == 0
    assert any(line.startswith("MAINPID=") for line in said)
    assert podman.inspect(container)["State"]["Running"]


def test_ignore(podman: PodmanWith, listening: str) -> None:
    """Neither the container nor anybody for it says anything."""
    env = {"NOTIFY_SOCKET": listening}
    container = podman.host.run(*speaker(podman, "ignore"), env=env).check().output
    log = podman.podman.directory / "host.log"
    podman.host.wait_until(
        lambda: podman("exec", container, "test", "-e", "/said").status == 0, "the script", log
    )
    assert podman("exec", container, "test", "-e", "/saying").status != 0
    # What has been sent by now is in the socket before this is.
    podman.host.shell(
        "python3 -c 'import socket as s; "
        's.socket(s.AF_UNIX, s.SOCK_DGRAM).sendto(b"READY=1 last", "/var/tmp/manager")\''
    )
    assert wait_for_ready(podman) == ["READY=1", "last"]


def test_healthy(podman: PodmanWith, listening: str) -> None:
    """READY=1 comes once the health check, which is an `exec`, has succeeded."""
    env = {"NOTIFY_SOCKET": listening, "DISABLE_HC_SYSTEMD": "true"}  # no systemd runs checks here
    options = ("--health-cmd", "test -e /healthy", "--health-interval", "1h", "--name", "checked")
    version = podman("--version").check().output.split()[-1]
    if tuple(map(int, version.split(".")[:2])) < (4, 6):
        pytest.skip(f"podman {version} has no --sdnotify=healthy, 4.6 has")
    log = podman.podman.directory / "host.log"
    podman.host.start(*speaker(podman, "healthy", *options), log=log, env=env)
    podman.host.wait_until(
        lambda: podman("exec", "checked", "test", "-e", "/said").status == 0, "the script", log
    )
    assert podman("exec", "checked", "test", "-e", "/saying").status != 0
    assert podman("healthcheck", "run", "checked").status == 1
    assert "READY=1" not in podman.host.shell("cat /var/tmp/said")
    podman("exec", "checked", "touch", "/healthy").check()
    podman("healthcheck", "run", "checked").check()
    said = wait_for_ready(podman)
    assert any(line.startswith("MAINPID=") for line in said)
