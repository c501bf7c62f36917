"""Steps: the sources of many bind mounts come into the container a few at a time.

Each source is held open from when the host side opened it until init attaches it. What is opened
before init is cloned, init has because it is a copy; so many descriptors would not fit below every
limit (RLIMIT_NOFILE), which only CAP_SYS_RESOURCE raises. So all but the first few are opened when
their turn comes, and handed over by SCM_RIGHTS (unix(7)).
"""

from __future__ import annotations

import errno
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from _struct import calcsize, pack, unpack

from ociruntime.plan.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

# In ``Run.fds``: init's end, and the host side's.
RECEIVER, SENDER = "sources:receive", "sources:send"
# So many descriptors are open for sources at a time.
BATCH = 16
LABEL = "the descriptors of bind mounts"
TOO_FEW = "the limit of open files (RLIMIT_NOFILE) is too small; raise it to 64 or more"


class OpenHandover(Step):
    """Make the socket pair that sources go through."""

    __slots__ = ()

    kind = "open-handover"

    def __init__(self) -> None:
        super().__init__("/mounts", LABEL)

    def describe(self) -> str:
        return "make a socket for the sources of bind mounts that are opened later"

    def execute(self, run: Run) -> None:
        receiver, sender = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        run.fds[RECEIVER] = receiver.detach()
        run.fds[SENDER] = fd = sender.detach()
        run.host_fds.append(fd)


class CloseSources(Step):
    """Close the sources that init, cloned with them, has of its own."""

    __slots__ = ("pointers",)

    kind = "close-sources"
    stage = "rootfs"

    def __init__(self, pointers: list[str]) -> None:
        super().__init__("/mounts", LABEL)
        self.pointers = pointers

    def describe(self) -> str:
        return f"close {len(self.pointers)} sources of bind mounts on the host side"

    def execute(self, run: Run) -> None:
        for pointer in self.pointers:
            run.kernel.close(run.fds.pop(pointer))


class SendSources(Step):
    """Hand init the sources that were opened last; they are closed on this side."""

    __slots__ = ("pointers",)

    kind = "send-sources"
    stage = "rootfs"

    def __init__(self, pointers: list[str]) -> None:
        super().__init__("/mounts", LABEL)
        self.pointers = pointers

    def describe(self) -> str:
        return f"hand over {len(self.pointers)} sources of bind mounts"

    def execute(self, run: Run) -> None:
        fds = [run.fds.pop(pointer) for pointer in self.pointers]
        end = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds[SENDER])
        try:
            end.sendmsg([b"\0"], [(SOL_SOCKET, SCM_RIGHTS, pack(f"={len(fds)}i", *fds))])
        finally:
            end.detach()
            for fd in fds:
                run.kernel.close(fd)

    def explain(self, number: int) -> str:
        # Of all that the user has on its way through sockets (unix(7)).
        return TOO_FEW if number == errno.ETOOMANYREFS else ""


class TakeSources(ContainerStep):
    """Take what ``SendSources`` has sent; it is there already."""

    __slots__ = ("pointers",)

    kind = "take-sources"

    def __init__(self, pointers: list[str]) -> None:
        super().__init__("/mounts", LABEL)
        self.pointers = pointers

    def describe(self) -> str:
        return f"take {len(self.pointers)} sources of bind mounts"

    def execute(self, run: Run) -> None:
        size = calcsize(f"={len(self.pointers)}i")
        end = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds[RECEIVER])
        try:
            how = MSG_CMSG_CLOEXEC | MSG_DONTWAIT
            _, messages, flags, _ = end.recvmsg(1, CMSG_SPACE(size), how)
        finally:
            end.detach()
        data = messages[0][2] if messages else b""
        fds = unpack(f"={len(data) // calcsize('=i')}i", data)
        run.fds.update(zip(self.pointers, fds, strict=False))
        if flags & MSG_CTRUNC or len(fds) != len(self.pointers):
            raise OSError(errno.EMFILE, TOO_FEW)
