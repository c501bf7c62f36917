"""The standard streams of a process that has no terminal.

``/dev/stdout`` is a symlink to a magic link that opens the stream anew, with the permissions of its
inode: who writes his log there must own it. But only pipes and sockets that have no name anywhere
change their owner: a file, a FIFO, a device or a directory may be the host's (CVE-2026-88265).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat
    from ociruntime.process.run import Run

STREAMS = (0, 1, 2)
# Filesystems that nobody can mount: what is on them is open, and nothing else.
NAMELESS = (c.PIPEFS_MAGIC, c.SOCKFS_MAGIC)
SAME_GROUP = 0xFFFFFFFF
# Whoever may not give it away keeps it (EPERM); some have no owner (EINVAL).
KEPT = (errno.EPERM, errno.EINVAL, errno.EROFS)
NULL = (c.S_IFCHR, 1, 3)


def is_nameless(kernel: Kernel, fd: int, stat: Stat) -> bool:
    """Whether ``fd`` is a pipe or a socket that has no name anywhere."""
    return stat.kind in (c.S_IFIFO, c.S_IFSOCK) and kernel.filesystem(fd) in NAMELESS


def give(kernel: Kernel, fd: int, stat: Stat, uid: int) -> None:
    """Give the pipe or socket ``fd`` to ``uid``; what is something else stays as it is."""
    if stat.uid == uid or not is_nameless(kernel, fd, stat):
        return
    try:
        kernel.fchownat(fd, "", uid, SAME_GROUP)
    except OSError as error:
        if error.errno not in KEPT:
            raise


class GiveStreams(Step):
    """Give the streams to the user of a container with a user namespace, from the host's side: in
    there nobody has a say in what belongs to somebody who is not mapped (user_namespaces(7)).

    What the caller may not give away, ``OwnStreams`` may.
    """

    __slots__ = ("uid",)

    kind = "give-streams"
    stage = "attach"

    def __init__(self, uid: int) -> None:
        super().__init__("/process/user/uid", "standard streams")
        self.uid = uid

    def describe(self) -> str:
        return f"give pipes on the standard streams to whom the host knows as uid {self.uid}"

    def execute(self, run: Run) -> None:
        owner = outside(run.kernel, run.pid, self.uid)
        if owner < 0:
            return  # not mapped: becoming that user will say so
        for fd in run.streams or STREAMS:
            give(run.kernel, fd, run.kernel.stat(fd), owner)


def outside(kernel: Kernel, pid: int, uid: int) -> int:
    """Who ``uid`` of the user namespace of process ``pid`` is in ours; -1 when it is nobody."""
    fd = kernel.open(f"/proc/{pid}/uid_map", c.O_RDONLY)
    try:
        text = kernel.read_whole(fd).decode()
    finally:
        kernel.close(fd)
    for line in text.splitlines():
        first, host, size = map(int, line.split())
        if first <= uid < first + size:
            return host + uid - first
    return -1


class OwnStreams(ContainerStep):
    """Give pipes and sockets on the standard streams to the container's user, who may want to
    reopen them; and open /dev/null again, for reading and writing, where a stream is that.

    It is the container's own /dev/null, proven to be that device before and after: engines open
    theirs for reading, and give it for output, too.
    """

    __slots__ = ("uid",)

    kind = "own-streams"
    stage = "process"

    def __init__(self, uid: int) -> None:
        super().__init__("/process/user/uid", "standard streams")
        self.uid = uid

    def describe(self) -> str:
        return f"give pipes on the standard streams to uid {self.uid}, open /dev/null again"

    def execute(self, run: Run) -> None:
        nulls = []
        for fd, stream in zip(STREAMS, run.streams or STREAMS, strict=True):
            # They are ours, too; but who owns them depends on who looks.
            stat = run.kernel.stat(stream)
            if stat.is_device(*NULL):
                nulls.append(fd)
            elif is_nameless(run.kernel, stream, stat):
                owner = self.uid, SAME_GROUP, c.AT_EMPTY_PATH
                run.inner.call("fchownat", fd, b"", *owner, tolerated=KEPT)
        if nulls:
            self._reopen(run, nulls)

    @staticmethod
    def _reopen(run: Run, nulls: list[int]) -> None:
        kernel, inroot = run.inner, run.inside()
        every, other = (p.EVERY_ERRNO,), (errno.EOPNOTSUPP,)
        # Each of these leaves out the rest: the container has none that can be opened, and the
        # caller's stays.
        first = kernel.position()
        probe = inroot.open("/dev/null", c.O_PATH | c.O_NOFOLLOW, tolerated=every)
        second = kernel.position()
        kernel.queue(p.NODE, probe, *NULL, tolerated=other)
        kernel.close(probe)
        third = kernel.position()
        # Without O_NOFOLLOW, which the container would find among the flags of its streams.
        flags = c.O_RDWR | c.O_NONBLOCK | c.O_NOCTTY
        fd = inroot.open("/dev/null", flags, tolerated=every)
        fourth = kernel.position()
        kernel.queue(p.NODE, fd, *NULL, tolerated=other)
        kernel.invoke("fcntl", fd, c.F_SETFL, 0)
        for number in nulls:
            kernel.dup3(fd, number)
        kernel.close(fd)
        for position in (first, second, third, fourth):
            kernel.skip_from(position)
