"""The library when something goes wrong: deaths, interrupts, forks, mistakes, timeouts."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime import api
from tests.support.bundle import Bundle
from tests.support.descriptors import open_descriptors
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox

Made = Callable[..., Bundle]


def path_of(bundle: Bundle) -> Path:
    return bundle.write().path


def test_death_of_the_zygote_reaches_everybody(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    container = library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id())
    os.kill(library.zygote_pid, signal.SIGKILL)
    with pytest.raises(api.ZygoteGone):
        container.wait(PATIENCE)
    with pytest.raises(api.ZygoteGone):
        container.state()
    with api.Runtime(library.root, launcher=library.launcher) as another:
        another.container(container.id).delete(force=True)


def test_closed_runtime(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    container = library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id())
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            container.wait(PATIENCE)
        except api.OciError as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.05)
    library.close()
    library.close()
    waiting.join(PATIENCE)
    assert len(caught) == 1
    with pytest.raises(api.OciError, match="closed"):
        container.state()
    with api.Runtime(library.root, launcher=library.launcher) as another:
        assert another.container(container.id).state().status == "running"
        another.container(container.id).delete(force=True)


def test_end_of_the_program_leaves_the_container(
    sandbox: Sandbox, bundle: Made, runtime_binary: Path, library: api.Runtime
) -> None:
    path, name = path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()
    program = textwrap.dedent(f"""
        import os
        from ociruntime.api import Runtime
        runtime = Runtime({str(sandbox.root)!r}, launcher={str(runtime_binary)!r})
        runtime.run({str(path)!r}, {name!r})
        print("made", flush=True)
        os.abort()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        cwd=Path(api.__file__).parent.parent,
        env={**sandbox.environment(), "OCIRT": "1"},
    )
    assert done.stdout == b"made\n"
    container = library.container(name)
    assert container.state().status == "running"
    container.delete(force=True)


def test_interrupts_lose_nothing(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    """A handler that raises, as that of Ctrl-C does: anywhere, while another thread waits, too."""
    path, path_of_other = path_of(bundle(["/bin/true"])), path_of(bundle(["/bin/true"]))
    stop = threading.Event()
    others: list[bool] = []

    def other() -> None:
        while not stop.is_set():
            with library.run(path_of_other, sandbox.new_id()) as container:
                others.append(container.wait(PATIENCE).ok)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    thread = threading.Thread(target=other)
    thread.start()
    interrupted, mine = 0, list[str]()
    try:
        for turn in range(40):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0007 * (turn + 1))
                try:
                    mine.append(sandbox.new_id())
                    with library.run(path, mine[-1], stdout=api.PIPE) as container:
                        container.wait(PATIENCE)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
                for left in library.containers():
                    if left.id in mine:
                        # An interrupted delete goes on: it may be faster than this one.
                        with contextlib.suppress(api.NotFound):
                            left.delete(force=True)
    finally:
        stop.set()
        thread.join(PATIENCE)
        signal.signal(signal.SIGALRM, previous)
    assert not thread.is_alive()
    assert interrupted > 0
    assert len(others) > 1
    assert all(others)


def test_interrupted_create_is_taken_back(
    library: api.Runtime, sandbox: Sandbox, bundle: Made, tmp_path: Path
) -> None:
    reached, told = tmp_path / "reached", tmp_path / "told"
    script = f"touch {reached}; until [ -e {told} ]; do sleep 0.01; done"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}
    path = path_of(bundle(["/bin/true"], hooks={"createRuntime": [hook]}))

    def interrupt() -> None:
        while not reached.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        told.touch()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        library.create(path, sandbox.new_id(), stdout=api.PIPE)
    thread.join(PATIENCE)
    assert library.containers() == []


def test_timeout_of_communicate_loses_nothing(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    script = "echo early; read a; read b; read go; echo $a $b; echo bad >&2"
    path = path_of(bundle().shell(script))
    with library.run(
        path, sandbox.new_id(), stdin=api.PIPE, stdout=api.PIPE, stderr=api.PIPE
    ) as container:
        assert container.stdin is not None
        container.stdin.write(b"first\n")  # stays in the buffer: it must come before the rest
        assert container.stdout is not None
        assert select.select([container.stdout], [], [], PATIENCE)[0]
        container.pause()
        with pytest.raises(TimeoutError):
            container.communicate(b"second\nthird\n", timeout=0.05)
        container.resume()
        expected = b"early\nfirst second\n", b"bad\n"
        assert container.communicate(timeout=PATIENCE) == expected
        assert container.communicate() == expected


def test_mistakes_are_told(library: api.Runtime, sandbox: Sandbox, bundle: Made) -> None:
    path = path_of(bundle(["/bin/true"]))
    library.containers()
    with library.run(path, sandbox.new_id()) as container:
        container.wait(PATIENCE)
    before = open_descriptors()
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"stdin": api.PIPE, "stdout": io.StringIO()}, "stdout="),
        ({"stdin": api.PIPE, "stdout": 987654}, "are all of them open"),
        ({"preserve_fds": [0] * 300}, "300 descriptors"),
    ]
    for options, words in mistakes:
        with pytest.raises(api.OciError, match=words):
            library.create(path, sandbox.new_id(), **options)
    assert open_descriptors() == before
    with pytest.raises(api.UsageError, match="systemd"):
        api.Runtime(cgroup_manager="magic")
    assert library.containers() == []


def test_forgotten_processes_are_closed(
    library: api.Runtime, sandbox: Sandbox, bundle: Made
) -> None:
    with library.run(path_of(bundle(["/bin/sleep", "100"])), sandbox.new_id()) as container:
        before = open_descriptors()
        assert container.exec(["/bin/true"], stdout=api.PIPE).wait(PATIENCE).ok
        container.exec(["/bin/sleep", "100"], stdout=api.PIPE)
        assert open_descriptors() == before


def test_forked_child_does_not_keep_the_zygote(sandbox: Sandbox, runtime_binary: Path) -> None:
    """The program dies without a word while a child of its fork lives on."""
    program = textwrap.dedent(f"""
        import os, time
        from ociruntime.api import NotFound, Runtime
        runtime = Runtime({str(sandbox.root)!r}, launcher={str(runtime_binary)!r})
        try:
            runtime.container("nobody")
        except NotFound:
            pass
        child = os.fork()
        if child == 0:
            os.close(1)
            time.sleep(30)
            os._exit(0)
        print(runtime.zygote_pid, child, flush=True)
        os.abort()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
        cwd=Path(api.__file__).parent.parent,
        env=sandbox.environment(),
    )
    zygote, child = map(int, done.stdout.split())
    try:
        deadline = time.monotonic() + PATIENCE
        while is_zygote(zygote):
            assert time.monotonic() < deadline, "the zygote lives on"
            time.sleep(0.01)
    finally:
        os.kill(child, signal.SIGKILL)


def is_zygote(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[1:3] not in ([], ["(oci-zygote)", "Z"])
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_forked_child_is_refused(library: api.Runtime) -> None:
    assert library.containers() == []
    with pytest.raises(api.NotFound):
        library.container("nobody")
    pid = os.fork()
    if pid == 0:
        try:
            library.container("nobody")
        except api.NotFound:
            os._exit(1)
        except api.OciError as error:
            os._exit(0 if "forked child" in str(error) else 2)
        os._exit(3)
    assert os.waitpid(pid, 0)[1] == 0
