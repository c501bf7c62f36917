"""The pytest plugin: used as its users do, and in a session of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ociruntime.api import Container, Runtime

SECONDS = 10.0
Make = Callable[..., Container]


def test_output_and_status(container: Make) -> None:
    made = container("sh", "-c", "echo out; echo err >&2; exit 3")
    assert made.communicate(timeout=SECONDS) == (b"out\n", b"err\n")
    assert made.wait(SECONDS).code == 3


def test_changes_reach_the_configuration(container: Make) -> None:
    made = container(
        "sh",
        "-c",
        "hostname; id -u; echo $NAME",
        hostname="changed",
        process={"user": {"uid": 1234}, "env": ["PATH=/bin", "NAME=value"]},
    )
    assert made.communicate(timeout=SECONDS)[0] == b"changed\n1234\nvalue\n"


def test_two_at_once_and_exec(container: Make, oci_runtime: Runtime) -> None:
    first, second = container("sleep", "100"), container("sleep", "100", start=False)
    assert {each.id for each in oci_runtime.containers()} == {first.id, second.id}
    assert (first.state().status, second.state().status) == ("running", "created")
    with first.exec(["true"]) as process:
        assert process.wait(SECONDS).ok


SESSION = """
def test_one(container):
    made = container("sleep", "100")
    assert made.state().status == "running"

def test_two(oci_runtime):
    assert oci_runtime.containers() == []

def test_deleted_by_the_test(container):
    container("true").delete(force=True)
"""


def test_session_of_its_own(tmp_path: Path, runtime_binary: Path, oci_rootfs: Path) -> None:
    (tmp_path / "test_it.py").write_text(SESSION)
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='session')\ndef oci_launcher():\n"
        f"    return {str(runtime_binary)!r}\n"
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\noci_rootfs = {oci_rootfs}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path}/temporary", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
