"""process.terminal and consoleSize, through a console socket (config.md, "Process")."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Any

import pytest

from conformance.terminal import ConsoleSocket
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]


def shown(runtime: Runtime, bundle: Bundle, script: str, box: ConsoleSocket) -> str:
    """What ``script`` writes on its terminal."""
    bundle.shell(script).set("/process/terminal", True)
    container = runtime.create(bundle, "--console-socket", str(box.path)).check().container
    box.receive(PATIENCE)
    runtime.start(container).check()
    return box.read(PATIENCE)


def test_streams(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """All three are the terminal, it controls the session, and /dev/console is it."""
    script = "tty; tty <&1; tty <&2; tty </dev/console; echo x >/dev/tty; ls -l /dev/console"
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        lines = shown(runtime, bundle(), script, box).splitlines()
    assert lines[:3] == ["/dev/pts/0"] * 3 or lines[:3] == ["/dev/console"] * 3
    assert lines[3] in ("/dev/pts/0", "/dev/console")
    assert lines[4] == "x"
    assert lines[5].startswith("crw")


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_lines_of_the_foreground(runtime: Runtime, bundle: MakeBundle, verb: str) -> None:
    """Captured, they end as the program has ended them; on a terminal, as people expect it."""
    script = "echo a; echo b"
    made = bundle(args=["sleep", "100"]) if verb == "exec" else bundle().shell(script)
    container = ""
    if verb == "exec":
        container = runtime.up(made)
    else:
        made.set("/process/terminal", True)

    def said(**how: Any) -> str:
        if verb == "run":
            return runtime.run(made, **how).check().stdout
        return runtime.exec(container, "sh", "-c", script, options=["-t"], **how).check().stdout

    if runtime.is_ours:  # others want a terminal
        assert said() == "a\nb\n"
    master, slave = os.openpty()
    settings = termios.tcgetattr(slave)
    try:
        with os.fdopen(os.dup(slave), "wb", buffering=0) as stdout:
            said(stdin=slave, stdout=stdout)
        assert os.read(master, 100) == b"a\r\nb\r\n"
        assert termios.tcgetattr(slave) == settings
    finally:
        os.close(slave)
        os.close(master)


def test_lines_of_a_socket(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Who took the terminal decides on it: it is as the kernel made it."""
    made = bundle().shell("echo a; echo b").set("/process/terminal", True)
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        container = runtime.create(made, "--console-socket", str(box.path)).check().container
        master = box.receive(PATIENCE)
        assert termios.tcgetattr(master)[1] & termios.ONLCR
        runtime.start(container).check()
        box.read(PATIENCE)


def test_size(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    made = bundle().set("/process/consoleSize", {"height": 33, "width": 77})
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        assert shown(runtime, made, "stty size", box) == "33 77\n"
        size = fcntl.ioctl(box.master, termios.TIOCGWINSZ, bytes(8))
        assert struct.unpack("=4H", size)[:2] == (33, 77)


def test_size_without_terminal(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is ignored (config.md#process)."""
    made = bundle(args=["true"]).set("/process/consoleSize", {"height": 33, "width": 77})
    runtime.run(made).check()


def test_input(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    made = bundle().shell("read line; echo got $line").set("/process/terminal", True)
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        container = runtime.create(made, "--console-socket", str(box.path)).check().container
        master = box.receive(PATIENCE)
        runtime.start(container).check()
        os.write(master, b"words\n")
        assert box.read(PATIENCE).splitlines()[-1] == "got words"


def test_interrupt(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """^C reaches the foreground process: the terminal controls the session."""
    made = bundle().shell(
        "trap 'echo interrupted; exit' INT; echo up; while :; do sleep 0.05; done"
    )
    made.set("/process/terminal", True)
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        container = runtime.create(made, "--console-socket", str(box.path)).check().container
        master = box.receive(PATIENCE)
        runtime.start(container).check()
        assert b"up" in os.read(master, 100)
        os.write(master, b"\x03")
        assert "interrupted" in box.read(PATIENCE)


def test_owner(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """The user may open the terminal again by its name."""
    made = bundle().set("/process/user", {"uid": 1000, "gid": 1000})
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        output = shown(runtime, made, "stat -c %u /dev/pts/0; echo again >/dev/pts/0", box)
    assert output == "1000\nagain\n"


@pytest.mark.parametrize("verb", ["create"])
def test_terminal_needs_a_socket(runtime: Runtime, bundle: MakeBundle, verb: str) -> None:
    made = bundle().set("/process/terminal", True)
    assert_clear(runtime, runtime.create(made), "console", "socket")


def test_socket_needs_a_terminal(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    if not runtime.is_ours:
        pytest.skip("crun takes and ignores it")
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        result = runtime.create(bundle(), "--console-socket", str(box.path))
    assert_clear(runtime, result, "console socket")


@pytest.mark.parametrize("kind", ["missing", "file", "deaf"])
def test_bad_socket(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    path = sandbox.directory / "test-bad"
    if kind == "file":
        path.write_text("")
    elif kind == "deaf":
        os.mknod(path, 0o140600)
    made = bundle().set("/process/terminal", True)
    assert_clear(runtime, runtime.create(made, "--console-socket", str(path)), "test-bad")


def test_long_socket_path(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Longer than the 107 bytes of a socket's address."""
    if not runtime.is_ours:
        pytest.skip("others are bound to the 107 bytes")
    deep = sandbox.directory / ("d" * 120)
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        deep.mkdir()
        os.link(box.path, deep / "socket")
        made = bundle(args=["true"]).set("/process/terminal", True)
        runtime.create(made, "--console-socket", str(deep / "socket")).check()
        box.receive(PATIENCE)


def on_terminal(
    runtime: Runtime, bundle: Bundle, rows: int, columns: int, stdin: int | None
) -> str:
    """What ``run`` prints on a terminal of that size; ``stdin`` is the terminal for -1."""
    master, slave = os.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0))
        with os.fdopen(os.dup(slave), "wb", buffering=0) as stdout:
            runtime.run(bundle, stdin=slave if stdin == -1 else stdin, stdout=stdout).check()
        return os.read(master, 100).decode().replace("\r", "").strip()
    finally:
        os.close(slave)
        os.close(master)


@pytest.mark.parametrize("stdin", [None, -1], ids=["stdin elsewhere", "all three"])
def test_size_of_the_callers_terminal(
    runtime: Runtime, bundle: MakeBundle, stdin: int | None
) -> None:
    if not runtime.is_ours:
        pytest.skip("runc wants a controlling terminal")
    script = "until stty size 2>/dev/null | grep -q '^12 34'; do sleep 0.05; done; stty size"
    made = bundle(args=["sh", "-c", script]).set("/process/terminal", True)
    assert on_terminal(runtime, made, 12, 34, stdin) == "12 34"


def test_a_terminal_that_knows_no_size(runtime: Runtime, bundle: MakeBundle) -> None:
    """script(1) without a terminal of its own: the config's size stays."""
    if not runtime.is_ours:
        pytest.skip("runc wants a controlling terminal")
    made = bundle(args=["sh", "-c", "sleep 0.2; stty size"]).set("/process/terminal", True)
    made.set("/process/consoleSize", {"height": 33, "width": 77})
    assert on_terminal(runtime, made, 0, 0, -1) == "33 77"
