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


@pytest.mark.parametrize("mode", ["container", "conmon"])
def test_ready(podman: PodmanWith, mode: str) -> None:
    """READY=1 comes from the container, or from conmon at once; a main process is named."""
    podman.host.shell(f"mkdir -p /var/tmp/say; cat >/var/tmp/say/say.py <<'END'\n{SAY}\nEND")
    podman.host.shell(f"cat >/var/tmp/listen.py <<'END'\n{LISTEN}\nEND")
    podman.host.shell(
        "rm -f /var/tmp/manager /var/tmp/listening; "
        "python3 /var/tmp/listen.py >/var/tmp/said 2>&1 & "
        "until [ -e /var/tmp/listening ]; do sleep 0.01; done"
    )
    say = "touch /saying; python3 -I -S /say/say.py READY=1"
    script = f'if [ -n "$NOTIFY_SOCKET" ]; then {say}; fi; sleep 1000'
    words = ("--detach", f"--sdnotify={mode}", *VOLUMES, "-v", "/var/tmp/say:/say:ro")
    command = podman.words("run", *words, "--", "sh", "-c", script)
    env = {"NOTIFY_SOCKET": "/var/tmp/manager"}
    container = podman.host.run(*command, env=env).check().output
    log = podman.podman.directory / "host.log"
    podman.host.wait_until(
        lambda: "READY=1" in podman.host.shell("cat /var/tmp/said"), "READY=1", log
    )
    said = podman.host.shell("cat /var/tmp/said").split()
    if mode == "container":
        assert podman("exec", container, "test", "-e", "/saying").status == 0
    assert any(line.startswith("MAINPID=") for line in said)
    assert podman.inspect(container)["State"]["Running"]
