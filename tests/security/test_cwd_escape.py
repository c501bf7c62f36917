"""CVE-2024-21626: the working directory and the program are the container's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import INSIDE, assert_clear, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Result, Runtime

NUMBERS = range(3, 24)


@pytest.fixture
def leaked(canary: Canary) -> Iterator[list[int]]:
    """Descriptors of host directories that the caller leaves open, inheritable."""
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in ("/", canary.path, "/etc")]
    yield fds
    for fd in fds:
        os.close(fd)


def _judge(runtime: Runtime, result: Result) -> None:
    if INSIDE in result.stdout:
        assert "not reached" in result.stdout, str(result)
    else:
        assert_clear(runtime, result, status=255 if "exec" in result.command else 1)


def test_run(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path, leaked: list[int]
) -> None:
    made = bundle().install(probe, "/probe")
    for number in NUMBERS:
        made.config["process"]["cwd"] = f"/proc/self/fd/{number}"
        script = f"/probe reach {canary.file}; /probe cwd"
        output = attempt(runtime, made, script, pass_fds=leaked)
        if output is not None:
            assert output.startswith("not reached\n/"), f"cwd {number}: {output}"


@pytest.mark.parametrize("depth", ["", "/..", "/../.."])
def test_symlinked_cwd(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    probe: Path,
    leaked: list[int],
    depth: str,
) -> None:
    """The image's symlink says where: config.json looks innocent."""
    made = bundle(process={"cwd": "/work" + depth}).install(probe, "/probe")
    for number in NUMBERS:
        link = made.rootfs / "work"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/proc/self/fd/{number}")
        output = attempt(runtime, made, f"/probe reach {canary.file}", pass_fds=leaked)
        assert output in (None, "not reached\n"), f"{number}: {output}"


def test_exec_cwd(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, probe: Path, leaked: list[int]
) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]).install(probe, "/probe"))
    script = f"echo '{INSIDE}'; /probe reach {canary.file}"
    for number in NUMBERS:
        options = ["--cwd", f"/proc/self/fd/{number}"]
        command = ["/bin/sh", "-c", script]
        _judge(runtime, runtime.exec(container, *command, options=options, pass_fds=leaked))


def test_args(runtime: Runtime, bundle: MakeBundle, canary: Canary, leaked: list[int]) -> None:
    """The program itself is named through a descriptor: the host's is not to be found."""
    secret = canary.path / "program"
    secret.write_text("#!/bin/sh\necho the host's program ran\n")
    secret.chmod(0o755)
    canary.seal()
    made = bundle()
    for number in NUMBERS:
        made.args = [f"/proc/self/fd/{number}/../../../../../../../..{secret}"]
        result = runtime.run(made, pass_fds=leaked)
        assert "the host's program ran" not in result.stdout
        assert not result.ok, str(result)
        made.args = [f"/proc/self/fd/{number}/program"]
        result = runtime.run(made, pass_fds=leaked)
        assert "the host's program ran" not in result.stdout
