"""What a process says about itself while it becomes its program."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, cast

from ociruntime.kernel import block
from ociruntime.lifecycle.start import read_report

if TYPE_CHECKING:
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
