"""What a process says about itself while it becomes its program."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, cast

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel import block
from ociruntime.lifecycle.start import read_report
from ociruntime.process.foreground import receive_master
from ociruntime.process.patience import set_look

if TYPE_CHECKING:
    from ociruntime.process.patience import Patience
    from ociruntime.state.store import Container

NOBODY = cast("Container", None)


def test_a_report_is_read_though_our_word_was_not() -> None:
    """A process that fails early leaves `go on` unread, which the kernel tells by ECONNRESET."""
    said = struct.pack("=IIiI", block.REPORT_MAGIC, block.STAGE_CGROUP, errno.ENOSPC, 1)
    for reports in ([], [said]):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            for report in reports:
                theirs.send(report)
            ours.send(block.START)
            theirs.close()
            found = read_report(ours, None, NOBODY, 1, "running")
        assert (found is None) == (not reports)
        if found is not None:
            assert (found.stage, found.errno) == (block.STAGE_CGROUP, errno.ENOSPC)


def test_a_program_that_was_executed_and_ended_at_once() -> None:
    """Between our last look into the channel and the one at the process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    class Ended:
        def look(self) -> bool:
            theirs.close()
            return False

    with ours:
        set_look(ours)
        patience = cast("Patience", Ended())
        assert read_report(ours, None, NOBODY, 1, "running", patience) is None


def test_a_listener_or_a_terminal_that_could_not_be_received() -> None:
    """The caller has too many open files: the kernel drops a descriptor and says so."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = block.REPORT.pack(block.REPORT_MAGIC, block.STAGE_LISTENER, 0, 0)
    with ours, theirs:
        for _ in range(2):
            socket.send_fds(theirs, [said], [0, 1])
        with pytest.raises(OciError, match=r"linux.seccomp: the listener .* EMFILE.*ulimit"):
            read_report(ours, None, NOBODY, 1, "running")
        with pytest.raises(OciError, match=r"process.terminal: its master .* EMFILE.*ulimit"):
            receive_master(os.dup(ours.fileno()))
