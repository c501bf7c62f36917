"""What a process says about itself while it becomes its program."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, cast

from ociruntime.kernel import block
from ociruntime.lifecycle.start import read_report
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
