"""`run` and `exec` with a terminal, in the foreground: what is between it and the caller's streams.

The peers read a terminal until it is hung up, and write without looking: here a terminal may be
closed and opened again, and no stream of the caller's can hold up signals or the exit status.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import TIMEOUT, Result, Runtime
from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., Bundle]

# More than the kernel keeps of a terminal's output and a pipe together.
MUCH = 400_000
AGAIN = (
    "exec 0<&- 1>&- 2>&-; sleep 0.1; exec 0<>/dev/tty 1>&0; echo first; exec 0<&- 1>&-; sleep 0.1; "
    f"exec 0</dev/tty 1>/dev/tty; head -c {MUCH} /dev/zero | tr '\\0' x; echo last"
)


def in_terminal(made: Bundle, script: str) -> Bundle:
    """The bundle whose process is `script`, on a terminal."""
    return made.shell(script).set("/process/terminal", True)


def foreground(
    runtime: Runtime, bundle: Bundle, stdin: int, stdout: int
) -> subprocess.Popen[bytes]:
    """`run`, with these streams, while we go on."""
    bundle.write()
    runtime.created.append(bundle.name)
    command = [str(runtime.binary), "--root", str(runtime.root), "run"]
    return subprocess.Popen(
        [*command, "--bundle", str(bundle.path), bundle.name],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=runtime.sandbox.environment(),
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Until `condition`; fails after a while."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def has_ended(runtime: Runtime, bundle: Bundle, process: subprocess.Popen[bytes]) -> bool:
    """Whether the container's process has, or all of `run`."""
    state = runtime.state(bundle.name)
    return process.poll() is not None or not state.ok or state.json()["status"] == "stopped"


def read_all(descriptor: int) -> bytes:
    """What comes until the end of file."""
    found = b""
    while piece := os.read(descriptor, 1 << 16):
        found += piece
    return found


def assert_whole(result: Result) -> None:
    assert result.stdout.count("x") == MUCH, result
    assert "first" in result.stdout, result
    assert "last" in result.stdout, result


def test_run_of_a_program_that_opens_its_terminal_again(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    assert_whole(runtime.run(in_terminal(bundle(), AGAIN)).check())


def test_exec_of_a_program_that_opens_its_terminal_again(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    container = runtime.up(bundle(args=["sleep", "1000"]))
    assert_whole(runtime.exec(container, "sh", "-c", AGAIN, options=["--tty"]).check())


def test_input_after_the_terminal_was_closed(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is not lost, and comes to whoever opens the terminal next."""
    script = "exec 0<&- 1>&- 2>&-; sleep 0.3; exec 0<>/dev/tty 1>&0; read word; echo got $word"
    read, write = os.pipe()
    os.write(write, b"this\n")
    os.close(write)
    try:
        result = runtime.run(in_terminal(bundle(), script), stdin=read).check()
    finally:
        os.close(read)
    assert "got this" in result.stdout


@pytest.mark.parametrize("kind", ["pipe", "non-blocking pipe", "socket"])
def test_signals_while_nobody_reads(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str
) -> None:
    """They reach the process, and its status is the exit status once the output was read."""
    if kind == "socket":
        ours_socket, theirs_socket = socket.socketpair()
        ours, theirs = ours_socket.detach(), theirs_socket.detach()
    else:
        ours, theirs = os.pipe()
        os.set_blocking(theirs, kind == "pipe")
    script = "trap 'exit 7' TERM; yes & while :; do sleep 0.05; done"
    made = in_terminal(bundle(), script)
    process = foreground(runtime, made, subprocess.DEVNULL, theirs)
    try:
        assert os.read(ours, 1)
        time.sleep(0.3)  # what follows holds whether or not it is stuck by now
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: has_ended(runtime, made, process), "TERM did not arrive")
        assert os.get_blocking(theirs) == (kind != "non-blocking pipe"), "it is the caller's"
        os.close(theirs)
        theirs = -1
        read_all(ours)
        assert process.wait(TIMEOUT) == 7
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_a_signal_ends_the_wait_for_a_reader(runtime: Runtime, bundle: MakeBundle) -> None:
    """The process is gone, its last output is not taken: that must not be waited for for ever."""
    ours, theirs = os.pipe()
    # More than the pipe takes, and not so much that the process itself would have to wait.
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    made = in_terminal(bundle(), "head -c 6000 /dev/zero | tr '\\0' x; exit 3")
    process = foreground(runtime, made, subprocess.DEVNULL, theirs)
    os.close(theirs)
    try:
        assert os.read(ours, 1)
        wait_until(lambda: runtime.status(made.name) == "stopped", "it does not end")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 3
        assert "does not exist" in runtime.state(made.name).stderr
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def test_a_full_disk(runtime: Runtime, bundle: MakeBundle) -> None:
    """The process goes on, its status counts, and what is lost is told."""
    made = in_terminal(bundle(), f"head -c {MUCH} /dev/zero | tr '\\0' x; exit 5")
    with Path("/dev/full").open("wb", buffering=0) as full:
        result = runtime.run(made, stdout=full)
    assert result.status == 5, result
    assert "standard output: No space left on device" in result.stderr, result
    assert str(MUCH) in result.stderr, result


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
@pytest.mark.parametrize("kind", ["closed", "other direction", "directory"])
def test_odd_streams(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, stream: str, kind: str
) -> None:
    """What is wrong with one stream is no reason not to run."""
    made = in_terminal(bundle(), "echo said; exit 6")
    made.write()
    number = 0 if stream == "stdin" else 1
    target = sandbox.directory / "odd"
    target.write_text("")
    redirection = {
        "closed": f"{number}{'<' if number == 0 else '>'}&-",
        "other direction": f"{number}{'>' if number == 0 else '<'}{target}",
        "directory": f"{number}<{sandbox.directory}",
    }[kind]
    runtime.created.append(made.name)
    wrapper = ["sh", "-c", f'exec "$@" {redirection}', "sh"]
    result = runtime.call("run", "--bundle", str(made.path), made.name, wrapper=wrapper)
    assert result.status == 6, result
    assert "internal error" not in result.stderr, result
    if stream == "stdin":
        assert "said" in result.stdout, result


def test_who_is_left_behind_is_not_waited_for(runtime: Runtime, bundle: MakeBundle) -> None:
    """A process that goes on writing on the terminal keeps exec no longer than its own process."""
    container = runtime.up(bundle(args=["sleep", "1000"]))
    script = "trap '' HUP; yes & exit 4"
    result = runtime.exec(container, "sh", "-c", script, options=["--tty"])
    assert result.status == 4, result
