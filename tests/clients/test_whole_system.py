"""Containers whose first process is systemd, as podman and docker start them on a hybrid host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engines.docker import DockerWith
from tests.support.engines.podman import PodmanWith

PROGRAM = "/usr/lib/systemd/systemd"
SYSTEMCTL = ("/usr/bin/systemctl", "is-system-running")
# What boots: one service, none of the units that look after hardware and login.
UNITS = """mkdir -p /run/units && cd /run/units
echo "[Unit]
DefaultDependencies=no
Requires=own.service
After=own.service" >default.target
echo "[Unit]
DefaultDependencies=no
[Service]
Type=exec
ExecStart=/bin/sleep 1000" >own.service
"""
# The host's systemd, over the image.
VOLUMES = [
    word
    for volume in ("/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro",
                   "/run/units:/etc/systemd/system:ro")
    for word in ("-v", volume)
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not Path(PROGRAM).exists(), reason="systemd is not installed"),
    pytest.mark.skipif(
        "name=systemd:" not in Path("/proc/self/cgroup").read_text(),
        reason="no cgroup v1 hierarchy name=systemd",
    ),
]


def assert_it_boots(engine: DockerWith | PodmanWith, container: str) -> None:
    """It reaches its target, with every unit that it has; its service is in a cgroup below."""
    log = engine.host.directory / "host.log"
    answers: list[str] = []

    def booted() -> bool:
        answers.append(engine("exec", container, *SYSTEMCTL).output)
        return answers[-1] in ("running", "degraded", "maintenance")

    engine.host.wait_until(booted, "systemd", log)
    assert answers[-1] == "running"
    pid = "$(/usr/bin/systemctl show --property=MainPID --value own.service)"
    found = engine.shell(container, f"grep :name=systemd: /proc/{pid}/cgroup")
    assert found.endswith("/system.slice/own.service"), found


def test_podman(podman: PodmanWith) -> None:
    """--systemd mounts the machine's own directory over that of the cgroup mount, so that only
    without a cgroup namespace (podman's choice on v1) everything is below the container's.
    """
    podman.host.shell(UNITS)
    assert_it_boots(podman, podman.up("--systemd", "always", *VOLUMES, "--", PROGRAM))


def test_docker(docker: DockerWith) -> None:
    """Its cgroup mount is read-only unless the container is privileged, which would give systemd
    the machine's settings: here the container makes that one hierarchy writable.
    """
    docker.host.shell(UNITS)
    tmpfs = [word for name in ("/run", "/run/lock", "/tmp") for word in ("--tmpfs", name)]
    script = f"mount -o remount,bind,rw /sys/fs/cgroup/systemd && exec {PROGRAM}"
    options = ["--cgroupns", "private", "--cap-add", "SYS_ADMIN", "--env", "container=docker"]
    command = [*options, *tmpfs, *VOLUMES, "--", "sh", "-c", script]
    assert_it_boots(docker, docker.up(*command))
