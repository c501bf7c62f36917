"""Requests about a process that is not whole yet: remembered, or answered when it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.service import METHODS
from tests.clients.test_shim_requests import ask
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.metrics import client
from tests.support.engines.ttrpc import Refused, TaskClient

SPEC_URL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
TEXT = b"what was typed\n"


def spec(*args: str, **changes: Any) -> dict[str, Any]:
    process = {"cwd": "/", "args": list(args), "env": ["PATH=/bin:/usr/bin"], **changes}
    return {"type_url": SPEC_URL, "value": json.dumps(process).encode()}


class Files:
    """A fifo for input and a file for output, as the daemon names them and as we reach them."""

    def __init__(self, shim: ContainerdWith, container: str, name: str) -> None:
        self.stdin = f"/run/{container}-{name}.in"
        self.stdout = f"file:///run/{container}-{name}.out"
        root = Path(f"/proc/{shim.host.init}/root/run")
        self._in = root / f"{container}-{name}.in"
        self._out = root / f"{container}-{name}.out"
        os.mkfifo(self._in)

    def typed(self, text: bytes) -> int:
        """Have ``text`` in the fifo; the descriptor that keeps it there."""
        fd = os.open(self._in, os.O_RDWR | os.O_NONBLOCK)
        os.write(fd, text)
        return fd

    def output(self) -> bytes:
        return self._out.read_bytes()


def ask_at_once(connection: TaskClient, method: str, **values: object) -> int:
    """A request that is not waited for."""
    return connection.ask(method, METHODS[method][0], **values)


@pytest.mark.parametrize("when", ["before the start", "during the start", "after the start"])
def test_the_end_of_input_is_not_lost(shim: ContainerdWith, when: str) -> None:
    container = shim.up("--", "sleep", "1000")
    with client(shim, container) as connection:
        for number in range(20):
            name = f"e{number}"
            files = Files(shim, container, name)
            key = {"id": container, "exec_id": name}
            ask(connection, "Exec", **key, stdin=files.stdin, stdout=files.stdout, spec=spec("cat"))
            fd = files.typed(TEXT)
            if when == "before the start":
                ask(connection, "CloseIO", **key, stdin=True)
            start = ask_at_once(connection, "Start", **key)
            if when == "during the start":
                ask(connection, "CloseIO", **key, stdin=True)
            connection.receive(start)
            os.close(fd)
            if when == "after the start":
                ask(connection, "CloseIO", **key, stdin=True)
            assert ask(connection, "Wait", **key)["exit_status"] == 0
            ask(connection, "Delete", **key)
            assert files.output() == TEXT


@pytest.mark.parametrize("when", ["before the start", "during the start"])
def test_the_size_of_a_terminal_is_not_lost(shim: ContainerdWith, when: str) -> None:
    container = shim.up("--", "sleep", "1000")
    key = {"id": container, "exec_id": "sized"}
    size = {"width": 101, "height": 41}
    # Start gives it when the terminal is there, by which time the program may have asked.
    script = "until stty size 2>/dev/null | grep -q 41.101; do sleep 0.01; done; echo has it"
    with client(shim, container) as connection:
        files = Files(shim, container, "sized")
        process = spec("sh", "-c", script, terminal=True)
        ask(connection, "Exec", **key, terminal=True, stdout=files.stdout, spec=process)
        for wrong in ({"width": 1 << 16, "height": 1}, {"width": 1, "height": 1 << 16}):
            with pytest.raises(Refused) as refused:
                ask(connection, "ResizePty", **key, **wrong)
            assert refused.value.code == ttrpc.INVALID_ARGUMENT
        if when == "before the start":
            ask(connection, "ResizePty", **key, **size)
        start = ask_at_once(connection, "Start", **key)
        if when == "during the start":
            ask(connection, "ResizePty", **key, **size)
        connection.receive(start)
        assert ask(connection, "Wait", **key)["exit_status"] == 0
        ask(connection, "Delete", **key)
    assert files.output() == b"has it\r\n"


def test_a_signal_during_the_start_is_not_lost(shim: ContainerdWith) -> None:
    container = shim.up("--", "sleep", "1000")
    with client(shim, container) as connection:
        for number in range(10):
            key = {"id": container, "exec_id": f"k{number}"}
            ask(connection, "Exec", **key, spec=spec("sleep", "1000"))
            with pytest.raises(Refused) as refused:
                ask(connection, "Kill", **key, signal=9)
            assert refused.value.code == ttrpc.FAILED_PRECONDITION
            start = ask_at_once(connection, "Start", **key)
            ask(connection, "Kill", **key, signal=9)
            connection.receive(start)
            assert ask(connection, "Wait", **key)["exit_status"] == 128 + 9
            ask(connection, "Delete", **key)


def test_input_of_a_client_that_is_fast(shim: ContainerdWith) -> None:
    """containerd's client sends CloseIO as soon as its own input has ended."""
    container = shim.up("--", "sleep", "1000")
    for number in range(10):
        words = ("ctr", "--address", "/run/containerd.sock", "task", "exec", "--exec-id")
        done = shim.host.run(*words, f"p{number}", container, "cat", stdin="typed")
        assert (done.status, done.stdout) == (0, "typed"), done


def test_who_waits_for_what_never_runs_is_answered(shim: ContainerdWith) -> None:
    container = shim.up("--", "sleep", "1000")
    key = {"id": container, "exec_id": "never"}
    with client(shim, container) as connection:
        ask(connection, "Exec", **key, spec=spec("/no/such/program"))
        wait = ask_at_once(connection, "Wait", **key)
        with pytest.raises(Refused, match="no such file"):
            ask(connection, "Start", **key)
        ask(connection, "Delete", **key)
        assert m.WAIT_RESPONSE.decode(connection.receive(wait))["exit_status"] == 0
    assert shim.tasks()[container][1] == "RUNNING"
