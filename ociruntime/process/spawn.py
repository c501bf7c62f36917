"""Making the container's first process, with the namespaces it lives in.

oci-setup is started on the host, in a process that shares our memory only until it is executed
(``Kernel.start_program``); no Python is ever in a namespace of a container. It joins what is to be
joined, and clones a copy of itself as its own sibling (CLONE_PARENT) into the new namespaces, so
that this one is our child (or our subreaper's: ``Kernel.parenthood``):

    host --start--> oci-setup: setns..., unshare(user, time) --clone3(new, CLONE_PARENT)--> init

A namespace that belongs to the host's user namespace must be joined while we still have the host's
privileges, one that belongs to a joined user namespace only after that one: whatever is refused
before is tried again after it. Files of /proc are written before a mount namespace is joined; from
then on no path is trusted.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.cgroups.files import write_file
from ociruntime.cgroups.join import join_error
from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inside import Answer, Inside
from ociruntime.kernel.processes import Executable
from ociruntime.process.channel import Closed
from ociruntime.process.descriptors import STREAMS, kept
from ociruntime.process.patience import Patience, let_go
from ociruntime.process.run import SETUP_FD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.process.run import Run


# What clone3(2) answers only for CLONE_INTO_CGROUP.
OF_CGROUP = (errno.EBUSY, errno.EOPNOTSUPP, errno.EACCES, errno.ENOENT, errno.ENODEV)
# How long a process may take to obey SIGKILL before we look what keeps it, and altogether.
PROMPT_SECONDS, DEATH_SECONDS = 0.2, 10.0


class Namespaces:
    """What ``spawn`` shall make and join.

    ``new``: CLONE_NEW* flags of new namespaces (neither cgroup, which init unshares once it is in
    its cgroup, nor time). ``joined``: (label, CLONE_NEW* flag, fd) in the order of the config.
    ``time``: None or the text for /proc/self/timens_offsets, empty for a new time namespace without
    offsets. ``new_user``: a new user namespace needs its maps before init may go on.
    ``traceable``: who writes these maps may do so only while the process is dumpable.
    ``owns_proc``: whether a process of the caller that is not dumpable may still open its own files
    of /proc, which are root's then (proc(5)).
    """

    __slots__ = ("joined", "new", "owns_proc", "time", "traceable")

    def __init__(self) -> None:
        self.new = 0
        self.joined: list[tuple[str, int, int]] = []
        self.time: str | None = None
        self.traceable = False
        self.owns_proc = True

    @property
    def new_user(self) -> bool:
        return bool(self.new & c.CLONE_NEWUSER)


def spawn(run: Run, wanted: Namespaces, cgroup_fd: int, write_maps: Callable[[int], None]) -> None:
    """Make init and set ``run.pid``, ``run.pidfd``, ``run.channel`` and ``run.inner``.

    ``write_maps(pid)`` writes the id maps of a new user namespace, before anything runs in it.
    Raises ``OSError`` or ``OciError``; init, if it exists by then, dies with the channel.
    """
    channel, there = run.connect()
    run.channel = channel
    run.setup = kernel = Inside(channel, run.stubs)
    try:
        first, pidfd = _start(run, there.fileno(), cgroup_fd)
    finally:
        there.close()
    # A container without a pid namespace of its own can stop a process that has joined its user
    # namespace.
    channel.watch(Patience(first, "the process that joins namespaces"))
    try:
        _join(kernel, wanted, lambda: write_maps(first), STREAMS + run.preserve_fds)
        pid, placed = _clone(run, kernel, wanted, cgroup_fd)
    except Closed:
        raise OciError("the process that joins namespaces died without a word") from None
    finally:
        # It has said all that it had to say; in a namespace that it joined somebody may stop it.
        try:
            run.kernel.pidfd_send_signal(pidfd, c.SIGKILL)
        except ProcessLookupError:
            pass
        run.kernel.wait_pidfd(pidfd)
        run.kernel.close(pidfd)
    # Our own unreaped child, or that of who does not reap while we work: the number cannot have
    # been reused.
    run.pidfd, run.pid = run.kernel.pidfd_open(pid), pid
    if not placed:
        _place(run, cgroup_fd)
    channel.watch(run.patience())
    if wanted.traceable:
        kernel.prctl(c.PR_SET_DUMPABLE, 0)
    # The host side may die at any moment: so does init, until oci-init has taken over.
    kernel.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)


def _start(run: Run, channel: int, cgroup_fd: int) -> tuple[int, int]:
    others = [channel, cgroup_fd] if cgroup_fd >= 0 else [channel]
    arguments = [b"oci-setup", b"%d" % channel]
    program = run.fds[SETUP_FD]
    fds = kept(run, others)
    execution = Executable(program, arguments, [], fds, run.streams, run.preserve_fds)
    return run.kernel.start_program(execution)


def _join(
    kernel: Inside, wanted: Namespaces, write_maps: Callable[[], None], first: int
) -> None:
    """Join, and make what is not made by the clone. Descriptors from ``first`` on are ours, and
    not the program's.
    """
    kernel.call("close_range", first, c.LAST_FD, c.CLOSE_RANGE_CLOEXEC)
    offsets = -1
    if wanted.time:
        # Nothing has been joined yet: there is no container to be traced by.
        if not wanted.owns_proc:
            kernel.prctl(c.PR_SET_DUMPABLE, 1)
        offsets = kernel.open("/proc/self/timens_offsets", c.O_WRONLY)
        if not wanted.owns_proc:
            kernel.prctl(c.PR_SET_DUMPABLE, 0)
    join(kernel, wanted.joined)
    if wanted.new_user:
        # Before the others, and with its ids: what the kernel makes in a new network namespace
        # (/sys/class/net/lo) belongs to the root that the namespace has at that moment.
        kernel.unshare(c.CLONE_NEWUSER)
        if wanted.traceable:
            kernel.prctl(c.PR_SET_DUMPABLE, 1)
        kernel.carry_out()
        write_maps()
    if wanted.time is not None:
        kernel.unshare(c.CLONE_NEWTIME)
    if wanted.time:
        text = bytearray(wanted.time.encode())
        kernel.call("write", offsets, text, len(text), explain=_offsets_refused)
        kernel.close(offsets)
    # A joined user namespace made it as dumpable as /proc/sys/fs/suid_dumpable says.
    kernel.prctl(c.PR_SET_DUMPABLE, int(wanted.traceable))


def _clone(run: Run, kernel: Inside, wanted: Namespaces, cgroup_fd: int) -> tuple[int, bool]:
    """Clone init: (its pid, whether it is in its cgroup); a refusal that is the cgroup's comes as
    ``StepError``, naming it.

    In a new user namespace oci-setup has no power over files of the host any more, and clone3(2)
    asks for the rights of who calls it: to join a cgroup of another user, or to leave one.
    """
    new = wanted.new & ~c.CLONE_NEWUSER | run.kernel.parenthood
    tolerated = (errno.EACCES,) if wanted.new_user and cgroup_fd >= 0 else ()
    try:
        answer = kernel.ask(p.CLONE, new, cgroup_fd, tolerated=tolerated)
        if not answer.number:
            return answer.value, True
        kernel.call("close", cgroup_fd)
        return kernel.ask(p.CLONE, new, -1).value, False
    except OSError as error:
        raise clone_error(run, error) from None


def _place(run: Run, cgroup_fd: int) -> None:
    """Put init into its cgroup with our own rights; nothing of the container has run in it yet."""
    try:
        write_file(run.kernel, cgroup_fd, "cgroup.procs", str(run.pid))
    except OSError as error:
        raise clone_error(run, error) from None


def clone_error(run: Run, error: OSError) -> OSError | StepError:
    """A refusal of clone3(2); one that is the cgroup's names it."""
    place = run.cgroup.placement.unified if run.cgroup is not None else None
    if place is None or error.errno not in OF_CGROUP:
        return error
    return join_error(place, error)


def join(kernel: Inside, joined: list[tuple[str, int, int]]) -> None:
    """setns(2) into all of ``joined``: others first, the user namespace, then what was refused
    before it.
    """
    users = [entry for entry in joined if entry[1] == c.CLONE_NEWUSER]
    others = [entry for entry in joined if entry[1] != c.CLONE_NEWUSER]
    if users:
        answers = [_set(kernel, entry, (errno.EPERM,)) for entry in others]
        kernel.carry_out()
        refusals = zip(others, answers, strict=True)
        others = users + [entry for entry, answer in refusals if answer.number]
    for entry in others:
        _set(kernel, entry, ())


def _set(kernel: Inside, entry: tuple[str, int, int], tolerated: tuple[int, ...]) -> Answer:
    label, kind, fd = entry
    answer = Answer()

    def explain(number: int, _value: int, _text: bytes) -> StepError:
        return refused(label, OSError(number, os.strerror(number)))

    kernel.call("setns", fd, kind, tolerated=tolerated, answer=answer, explain=explain)
    return answer


def _offsets_refused(number: int, _value: int, _text: bytes) -> StepError:
    detail = ""
    if number == errno.ERANGE:
        detail = "the clocks would run before zero or beyond 146 years; use smaller offsets"
    return StepError("linux.timeOffsets", number, detail)


def refused(label: str, error: OSError) -> StepError:
    """Why a namespace cannot be joined."""
    detail = ""
    if error.errno == errno.EPERM:
        detail = "the caller has no CAP_SYS_ADMIN over this namespace"
    elif error.errno == errno.ESRCH:
        detail = "the container's first process is ending, and the rest with it"
    return StepError(label, error.errno or 0, detail)


def end_process(run: Run) -> None:
    """Kill and reap the process that was made, if there is one."""
    if run.pidfd >= 0 and run.pid:
        try:
            run.kernel.pidfd_send_signal(run.pidfd, c.SIGKILL)
        except ProcessLookupError:
            pass
        if not run.kernel.reap(run.pidfd, PROMPT_SECONDS):
            let_go(run.pid)
            if not run.kernel.reap(run.pidfd, DEATH_SECONDS):
                run.warnings.append(f"process {run.pid} does not end although it was killed")
        run.pid = 0
