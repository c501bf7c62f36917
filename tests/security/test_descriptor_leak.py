"""No descriptor of the caller reaches the container."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime


@pytest.fixture
def leaked(canary: Canary) -> Iterator[list[int]]:
    """Inheritable descriptors of the caller, with high and low numbers."""
    first = os.open(canary.path, os.O_RDONLY | os.O_DIRECTORY)
    # Not dup2: such a number may be in use in this process.
    fds = [first, *(fcntl.fcntl(first, fcntl.F_DUPFD, lowest) for lowest in (63, 900))]
    yield fds
    for fd in fds:
        os.close(fd)


def test_run(runtime: Runtime, bundle: MakeBundle, probe: Path, leaked: list[int]) -> None:
    made = bundle(args=["/probe", "fdlist"]).install(probe, "/probe")
    assert runtime.run(made, pass_fds=leaked).check().stdout == ""


def test_created(runtime: Runtime, bundle: MakeBundle, probe: Path, leaked: list[int]) -> None:
    """While waiting for `start`, too, nothing of the caller is held."""
    container = runtime.create(bundle(args=["sleep", "100"]), pass_fds=leaked).check().container
    directory = Path(f"/proc/{runtime.pid(container)}/fd")
    targets = [os.readlink(path) for path in directory.iterdir()]
    assert not [target for target in targets if "canary" in target]


def test_exec(runtime: Runtime, bundle: MakeBundle, probe: Path, leaked: list[int]) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]).install(probe, "/probe"))
    result = runtime.exec(container, "/probe", "fdlist", pass_fds=leaked).check()
    assert result.stdout == ""


def test_preserve_fds(runtime: Runtime, bundle: MakeBundle, probe: Path, canary: Canary) -> None:
    """`--preserve-fds N` passes 3 to 3+N-1 and nothing above."""
    script = f'exec 3<{canary.file} 4<{canary.file} 5<{canary.path}; exec "$@"'
    made = bundle(args=["/probe", "fdlist"]).install(probe, "/probe")
    how: Any = {"wrapper": ["sh", "-c", script, "sh"]}
    output = runtime.run(made, "--preserve-fds", "2", **how).check()
    assert [line.split()[0] for line in output.stdout.splitlines()] == ["3", "4"]
    made.args = ["sleep", "100"]
    options = ["--preserve-fds", "2"]
    output = runtime.exec(runtime.up(made), "/probe", "fdlist", options=options, **how).check()
    assert [line.split()[0] for line in output.stdout.splitlines()] == ["3", "4"]


def test_only_the_callers_are_preserved(runtime: Runtime, bundle: MakeBundle) -> None:
    """None of ours, which has the number of one that the caller has not."""
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    option = ["--preserve-fds", "1"]
    refused = runtime.exec(container, "true", options=option)
    assert_clear(runtime, refused, "descriptor 3 is not open", status=255)
    for verb in (runtime.create, runtime.run):
        assert_clear(runtime, verb(bundle(), *option), "descriptor 3 is not open")


def test_hook_gets_none(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, leaked: list[int]
) -> None:
    out = runtime.sandbox.directory / "fds"
    script = f"ls -l /proc/$$/fd > {out}"
    made = bundle(args=["/bin/true"])
    made.set("/hooks/createRuntime", [{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    runtime.run(made, pass_fds=leaked).check()
    assert "canary" not in out.read_text()
