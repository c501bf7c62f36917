"""The keeper of a daemon that is slow, and a daemon whose keeper is stuck."""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ociruntime.shim.journal import END, FORMAT, KEEP, RELEASE
from ociruntime.shim.keeper import AT_ONCE, EXITS, LONGEST, TRIES
from tests.support.patience import PATIENCE

# In a process of its own, because everything that is its child gets reaped. What it thinks its
# daemon only waits; the channel's other end is ours. It begins with a channel that is full.
KEEPER = """
import marshal, os, signal, sys
from _socket import MSG_DONTWAIT, socket
from ociruntime.log import Log
from ociruntime.shim.keeper import EXITS, FORMAT, Keeper

channel = socket(fileno=int(sys.argv[1]))
daemon = os.fork()
if daemon == 0:
    channel.close()
    signal.pause()
ended = []
for _ in range(int(sys.argv[2])):
    ended.append(os.fork())
    if ended[-1] == 0:
        os._exit(7)
message = marshal.dumps((EXITS, []), FORMAT)
try:
    while True:
        channel.sendmsg([message], [], MSG_DONTWAIT)
except BlockingIOError:
    pass
print(daemon, flush=True)
Keeper([], None, daemon, channel, Log()).run()
"""


def told(end: socket.socket, count: int) -> list[int]:
    """The pids of so many ends, of messages that a daemon can read."""
    found: list[int] = []
    while len(found) < count:
        data = end.recv(LONGEST)
        word, ended = marshal.loads(data)
        assert word == EXITS
        assert len(ended) <= AT_ONCE
        found += [pid for pid, status, _ in ended if status == 7]
    return found


def test_a_daemon_that_is_slow_to_read() -> None:
    """The keeper waits until it may tell, and hears what the daemon says then."""
    end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    end.settimeout(PATIENCE)
    count = AT_ONCE + 50
    command = [sys.executable, "-c", KEEPER, str(theirs.fileno()), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]) as keeper:
        theirs.close()
        assert keeper.stdout is not None
        daemon = int(keeper.stdout.readline())
        try:
            reader, writer = os.pipe()
            assert len(set(told(end, count))) == count
            socket.send_fds(end, [marshal.dumps((KEEP, ["x"]), FORMAT)], [writer])
            os.close(writer)
            end.send(marshal.dumps((RELEASE, "x"), FORMAT))
            closed, _, _ = select.select([reader], [], [], PATIENCE)
            assert closed, "the keeper does not hear"
            assert os.read(reader, 1) == b""
            os.close(reader)
            end.send(marshal.dumps((END, None), FORMAT))
        finally:
            os.kill(daemon, signal.SIGKILL)
            end.close()
        assert keeper.wait(PATIENCE) == 0


STUCK = """
import os, signal
from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair
from ociruntime.shim import journal

ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
if os.fork() == 0:
    ours.close()
    journal.PATIENCE = 1
    lost = []
    writes = journal.Journal.new(theirs, lost.append)
    while not lost:
        writes.release("x" * 1000)
    print(lost[0], flush=True)
    os._exit(0)
theirs.close()
signal.pause()
"""


def test_a_keeper_that_is_stuck_is_ended() -> None:
    """What it has would be open for ever, and its records are old ones."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert "the keeper of this daemon is lost" in done.stdout


PATIENT = """
import os, sys
from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair
from ociruntime.log import Log
from ociruntime.shim import keeper

keeper.PAUSE, keeper.LONGEST_PAUSE = 0.001, 0.005
ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
daemon = os.fork()
if daemon == 0:
    os._exit(1)
theirs.close()
keeper.Keeper([sys.argv[1]], None, daemon, ours, Log()).run()
"""


@pytest.mark.parametrize("exists", [True, False])
def test_a_successor_that_does_not_stay_is_tried_again(tmp_path: Path, exists: bool) -> None:
    """It dies, or cannot be started: with longer and longer pauses, not for ever, and the log tells
    of each.
    """
    program = tmp_path / "successor"
    if exists:
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    command = [sys.executable, "-c", PATIENT, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert "no successor of the daemon stays alive" in said.pop()
    assert sum("No such file or directory" in line for line in said) == (0 if exists else TRIES)
    pauses = [line.rpartition("next one in ")[2] for line in said if "next one in" in line]
    assert pauses[:4] == ["0.001 s", "0.002 s", "0.004 s", "0.005 s"]
    assert len(pauses) == TRIES - 1
