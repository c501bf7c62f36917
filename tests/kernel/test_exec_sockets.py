"""exec and the caller's sockets: a console socket nobody needs, or whose listener goes away."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Result, Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
ALONE = "cannot use console socket if runc will not detach or allocate tty"


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle) -> str:
    return runtime.up(bundle(args=["sleep", "100"]))


@pytest.fixture
def path(sandbox: Sandbox) -> Path:
    """Of the socket: short, since a socket's path has at most 107 bytes."""
    return sandbox.directory / "s"


@pytest.mark.parametrize("options", [[], ["--detach"], ["--tty=false"]])
def test_console_socket_without_a_terminal(
    runtime: Runtime, container: str, path: Path, options: list[str]
) -> None:
    """Whoever asks for a terminal's master and gets none would wait for it."""
    options = [*options, "--console-socket", str(path)]
    assert_clear(runtime, runtime.exec(container, "true", options=options), ALONE, status=255)


def test_console_socket_of_a_process_without_a_terminal(
    runtime: Runtime, container: str, path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "process.json"
    file.write_text(json.dumps({"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}))
    options = ["--process", str(file), "--detach", "--console-socket", str(path)]
    assert_clear(runtime, runtime.exec(container, options=options), ALONE, status=255)


def test_listener_that_closes_without_taking_the_terminal(
    runtime: Runtime, container: str, path: Path
) -> None:
    """It closes while exec waits for the thaw: after connecting, before it makes the terminal."""
    runtime.call("pause", container).check()
    done: list[Result] = []
    options = ["--ignore-paused", "--tty", "--detach", "--console-socket", str(path)]

    def call() -> None:
        done.append(runtime.exec(container, "sleep", "99", options=options))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=call)
        thread.start()
        try:
            listener.accept()[0].close()
        finally:
            runtime.call("resume", container).check()
            thread.join()
            path.unlink()
    assert_clear(runtime, done[0], "process.terminal", "closed it without taking", status=255)
    assert runtime.ps(container, "--format", "json").check().json() == [runtime.pid(container)]


@pytest.mark.parametrize("words", [["--tty", "--console-socket"], ["--pidfd-socket"]])
@pytest.mark.parametrize("left", [False, True], ids=["absent", "left over"])
def test_nobody_listens(
    runtime: Runtime, container: str, path: Path, words: list[str], *, left: bool
) -> None:
    if left:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    options = ["--detach", *words, str(path)]
    refused = runtime.exec(container, "sleep", "99", options=options)
    reason = "nobody listens" if left else "no such file or directory"
    assert_clear(runtime, refused, words[-1], str(path), reason, status=255)
    assert runtime.ps(container, "--format", "json").check().json() == [runtime.pid(container)]
    path.unlink(missing_ok=True)
