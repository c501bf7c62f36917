"""docs/images.md word by word: an image of podman's becomes a container of ours; and the unit of
docs/service.md, as systemd reads it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.engines.podman import IMAGE, Podman
from tests.support.pages import block


def test_podman_lines(podman_host: Podman, runtime_binary: Path) -> None:
    """The three lines; `busybox` is the test's image under that name."""
    host = podman_host.host
    host.run("podman", "tag", IMAGE, "busybox").check()
    desk = podman_host.directory / "desk"
    desk.mkdir()
    front = desk / "ociruntime"
    front.write_text(f'#!/bin/sh\nexec {runtime_binary} --root {desk}/state "$@"\n')
    front.chmod(0o755)
    text = block("images.md", "podman export")
    assert len(text.splitlines()) == 3
    script = f"set -eu; cd {desk}; export PATH={desk}:$PATH\n{text}"
    done = host.run("sh", "-c", script, stdin="echo in $((40 + 2))\nexit\n").check()
    assert "in 42" in done.stdout
    again = f"cd {desk}; ./ociruntime list --quiet; podman rm -a -f >/dev/null"
    assert host.run("sh", "-c", again).check().stdout.strip() == ""


def test_skopeo_and_umoci(podman_host: Podman, runtime_binary: Path) -> None:
    """The three lines, but that the image comes out of a file and not from a registry."""
    for program in ("skopeo", "umoci"):
        if shutil.which(program) is None:
            pytest.skip(f"not installed: {program}")
    host = podman_host.host
    desk = podman_host.directory / "desk-of-skopeo"
    desk.mkdir()
    front = desk / "ociruntime"
    front.write_text(f'#!/bin/sh\nexec {runtime_binary} --root {desk}/state "$@"\n')
    front.chmod(0o755)
    archive = desk / "image.tar"
    host.run("podman", "save", "--format", "oci-archive", "-o", str(archive), IMAGE).check()
    text = block("images.md", "skopeo copy")
    source = "docker://docker.io/library/busybox:latest"
    assert source in text
    text = text.replace(source, f"oci-archive:{archive}")
    # It is the image's shell: what it is told comes by a terminal, or, as here, by a pipe.
    edit = "sed -i 's/\"terminal\": *true/\"terminal\": false/' b/config.json"
    copy, unpack, run = text.splitlines()
    script = "\n".join([f"set -eu; cd {desk}; export PATH={desk}:$PATH", copy, unpack, edit, run])
    done = host.run("sh", "-c", script, stdin="echo in $((40 + 2))\nexit\n", timeout=120).check()
    assert "in 42" in done.stdout


def test_the_unit_is_one(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("not installed: systemd-analyze")
    unit = tmp_path / "web.service"
    unit.write_text(block("service.md", "[Unit]").replace("/usr/local/bin/ociruntime", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in done.stderr
    assert done.returncode == 0, done.stderr
