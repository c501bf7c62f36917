"""The examples of docs/api.md, as they are written there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime.api import Container, Runtime
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
INDENT = "    "


def examples() -> list[str]:
    """The indented blocks, which have blank lines inside."""
    blocks: list[list[str]] = [[]]
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith(INDENT) or (not line and blocks[-1]):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [textwrap.dedent("\n".join(block)) for block in blocks if block]


PROGRAMS = [text for text in examples() if "def test_" not in text]
TESTS = [text for text in examples() if "def test_" in text]


def test_there_are_examples() -> None:
    assert len(PROGRAMS) > 8
    assert len(TESTS) == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(
    program: str,
    sandbox: Sandbox,
    runtime_binary: Path,
    oci_rootfs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "rootfs").symlink_to(oci_rootfs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ociruntime.library.connection.default_root", lambda: str(sandbox.root))
    monkeypatch.setattr("ociruntime.zygote.launcher.find_launcher", lambda: str(runtime_binary))
    if 'net="bridge"' in program:
        on_a_host_of_its_own(program, sandbox, tmp_path, runtime_binary)
        return
    exec(compile(program, str(DOCUMENT), "exec"), {})
    with Runtime() as runtime:
        assert runtime.containers() == []


def on_a_host_of_its_own(
    program: str, sandbox: Sandbox, directory: Path, runtime_binary: Path
) -> None:
    """Networks change the host, so this one is a new network namespace with a /run of its own."""
    start = (
        "ip link set lo up && mount -t tmpfs tmpfs /run &&"
        ' echo 1 >/proc/sys/net/ipv4/ip_forward && exec "$@"'
    )
    file = directory / "example.py"
    file.write_text(program)
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", start, "sh", sys.executable, file],
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=PATIENCE,
        check=False,
        env={
            **sandbox.environment(),
            "PATH": f"{runtime_binary.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(DOCUMENT.parents[1]),
        },
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bridge eth0 ('10.87.0.2/16',) ('8080:80/tcp',)\n"


@pytest.mark.parametrize("text", TESTS)
def test_with_the_fixture(text: str, container: Callable[..., Container]) -> None:
    names: dict[str, Callable[[Callable[..., Container]], None]] = {}
    exec(compile(text, str(DOCUMENT), "exec"), names)
    for name, function in names.items():
        if name.startswith("test_"):
            function(container)
