"""Making the init process, with the namespaces it lives in.

One clone3(2) makes init inside all new namespaces. Where something must be joined first, or a time
namespace gets offsets, an *intermediate* process does that and then clones init as its own sibling
(CLONE_PARENT), so that init is in every case our child:

    plain      host --clone3(new namespaces)--> init
    joining    host --clone3()--> intermediate: setns..., unshare(time) --clone3(new,
    CLONE_PARENT)--> init

Where that process has nothing to ask or to write (no user or time namespace), it is one without
Python, which copies none of our memory (``Kernel.clone_joined``): some 260 page faults less. It is
outside of the container's pid namespace, where nobody can trace it and so write into our memory.

A namespace that belongs to the host's user namespace must be joined while we still have the host's
privileges, one that belongs to a joined user namespace only after that one: whatever is refused
before is tried again after it. Files of /proc are written before a mount namespace is joined; from
then on no path is trusted.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.cgroups.join import join_error
from ociruntime.errors import OciError, StepError, unexpected
from ociruntime.kernel import constants as c
from ociruntime.process.channel import Closed, Failure
from ociruntime.process.descriptors import kept, take_streams
from ociruntime.process.init import freeze_imports, init_main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.channel import Channel
    from ociruntime.process.run import Run


# What clone3(2) answers only for CLONE_INTO_CGROUP.
OF_CGROUP = (errno.EBUSY, errno.EOPNOTSUPP, errno.EACCES, errno.ENOENT, errno.ENODEV)


# A container without a pid namespace of its own can stop a process that has joined its user
# namespace; who waits for that one then, waits no longer than this.
JOINING_SECONDS = 10.0


class Namespaces:
    """What ``spawn`` shall make and join.

    ``new``: CLONE_NEW* flags of new namespaces (neither cgroup, which init unshares once it is in
    its cgroup, nor time). ``joined``: (label, CLONE_NEW* flag, fd) in the order of the config.
    ``time``: None or the text for /proc/self/timens_offsets, empty for a new time namespace without
    offsets. ``new_user``: a new user namespace needs its maps before init may go on.
    """

    __slots__ = ("joined", "new", "time")

    def __init__(self) -> None:
        self.new = 0
        self.joined: list[tuple[str, int, int]] = []
        self.time: str | None = None

    @property
    def new_user(self) -> bool:
        return bool(self.new & c.CLONE_NEWUSER)

    @property
    def is_plain_joining(self) -> bool:
        """Whether only setns(2) comes before the clone, in the order of the config.

        A time namespace cannot be joined by a process that shares its memory (time_namespaces(7)).
        """
        kinds = self.new | (0 if self.time is None else c.CLONE_NEWTIME)
        for _, kind, _ in self.joined:
            kinds |= kind
        return bool(self.joined) and not kinds & (c.CLONE_NEWUSER | c.CLONE_NEWTIME)


def spawn(run: Run, wanted: Namespaces, cgroup_fd: int, write_maps: Callable[[int], None]) -> None:
    """Make init and set ``run.pid``, ``run.pidfd`` and ``run.channel``.

    ``write_maps(pid)`` writes the id maps of a new user namespace, before anything runs in it.
    Raises ``OSError`` or ``OciError``; init, if it exists by then, dies with the channel.
    """
    here, there = run.connect()
    run.channel = here
    try:
        if wanted.is_plain_joining:
            _join_and_clone(run, wanted, cgroup_fd, here, there)
        elif wanted.joined or wanted.time is not None:
            _through_intermediate(run, wanted, cgroup_fd, here, there, write_maps)
        else:
            pid, pidfd = _clone(run, wanted.new, cgroup_fd)
            if pid == 0:
                here.close()
                take_streams(run, [there.fileno()])
                init_main(run, there)
            run.pid, run.pidfd = pid, pidfd
            if wanted.new_user:
                write_maps(pid)
    finally:
        there.close()
    here.watch(run.patience())


def _join_and_clone(
    run: Run, wanted: Namespaces, cgroup_fd: int, here: Channel, there: Channel
) -> None:
    others = [there.fileno()]
    streams = () if run.keeps else run.streams
    pid, failed, number = run.kernel.clone_joined(
        wanted.new,
        cgroup_fd,
        [(fd, kind) for _, kind, fd in wanted.joined],
        streams,
        kept(run, [*others, cgroup_fd] if cgroup_fd >= 0 else others),
    )
    if pid == 0:
        if streams:
            here.forget()
        else:
            here.close()
            take_streams(run, others)
        init_main(run, there)
    if pid < 0:
        error = OSError(number, os.strerror(number))
        if failed >= 0:
            raise refused(wanted.joined[failed][0], error)
        if number == 0:
            raise OciError("the process that joins namespaces died without a word")
        raise clone_error(run, error)
    run.pid = pid
    run.pidfd = run.kernel.pidfd_open(pid)  # our own unreaped child: the number is still its


def _clone(run: Run, flags: int, cgroup_fd: int) -> tuple[int, int]:
    """Clone into the cgroup; a refusal that is the cgroup's comes as ``StepError``, naming it."""
    try:
        return run.kernel.clone(flags, cgroup_fd)
    except OSError as error:
        raise clone_error(run, error) from None


def clone_error(run: Run, error: OSError) -> OSError | StepError:
    """A refusal of clone3(2); one that is the cgroup's names it."""
    place = run.cgroup.placement.unified if run.cgroup is not None else None
    if place is None or error.errno not in OF_CGROUP:
        return error
    return join_error(place, error)


def _through_intermediate(
    run: Run,
    wanted: Namespaces,
    cgroup_fd: int,
    here: Channel,
    there: Channel,
    write_maps: Callable[[int], None],
) -> None:
    ours, theirs = run.connect()
    pid, pidfd = run.kernel.clone(0)
    if pid == 0:
        ours.close()
        here.close()
        _intermediate(run, wanted, cgroup_fd, theirs, there)
    theirs.close()
    ours.limit(JOINING_SECONDS)
    try:
        if wanted.new_user and wanted.time is not None:
            ours.wait_ready()
            write_maps(pid)
            ours.ready()
        answer = ours.wait_pid()
    except Closed:
        raise OciError("the process that joins namespaces died without a word") from None
    finally:
        ours.close()
        # It has said all that it had to say; in a namespace that it joined somebody may stop it.
        try:
            run.kernel.pidfd_send_signal(pidfd, c.SIGKILL)
        except ProcessLookupError:
            pass
        run.kernel.wait_pidfd(pidfd)
        run.kernel.close(pidfd)
    if isinstance(answer, Failure):
        if not answer.label:
            raise OSError(answer.number, os.strerror(answer.number))
        raise StepError(answer.label, answer.number, answer.detail)
    # Our own unreaped child, so the number cannot have been reused.
    run.pidfd, run.pid = run.kernel.pidfd_open(answer), answer
    if wanted.new_user and wanted.time is None:
        write_maps(answer)


def _intermediate(
    run: Run, wanted: Namespaces, cgroup_fd: int, parent: Channel, there: Channel
) -> None:
    """The intermediate process; never returns."""
    kernel = run.kernel
    try:
        freeze_imports()
        take_streams(run, [parent.fileno(), there.fileno(), cgroup_fd])
        kernel.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)
        new = wanted.new
        offsets = -1
        if wanted.time is not None:
            offsets = kernel.open("/proc/self/timens_offsets", c.O_WRONLY) if wanted.time else -1
            if wanted.new_user:
                kernel.unshare(c.CLONE_NEWUSER)
                new &= ~c.CLONE_NEWUSER
                parent.ready()
                parent.wait_ready()
        join(kernel, wanted.joined)
        if wanted.time is not None:
            kernel.unshare(c.CLONE_NEWTIME)
            if offsets >= 0:
                _write_offsets(kernel, offsets, wanted.time)
        pid = _sibling(run, parent, new, cgroup_fd)
        if pid == 0:
            parent.close()
            init_main(run, there)
        parent.send_pid(pid)
    except StepError as error:
        parent.failed(error.number, error.step, error.detail)
    except OSError as error:
        parent.failed(error.errno or 0, "linux.namespaces", error.strerror or "")
    except Closed:
        pass
    except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
        parent.failed(0, "linux.namespaces", unexpected(error))
    os._exit(0)


def _sibling(run: Run, parent: Channel, new: int, cgroup_fd: int) -> int:
    """Clone init; a refusal that is not the cgroup's is for the step on the other side to
    explain.
    """
    try:
        return _clone(run, new | c.CLONE_PARENT, cgroup_fd)[0]
    except OSError as error:
        parent.failed(error.errno or 0, "", "")
        os._exit(0)


def _write_offsets(kernel: Kernel, fd: int, text: str) -> None:
    try:
        kernel.write(fd, text.encode())
    except OSError as error:
        detail = ""
        if error.errno == errno.ERANGE:
            detail = "the clocks would run before zero or beyond 146 years; use smaller offsets"
        raise StepError("linux.timeOffsets", error.errno or 0, detail) from None


def join(kernel: Kernel, joined: list[tuple[str, int, int]]) -> None:
    """setns(2) into all of ``joined``: others first, the user namespace, then what was refused
    before it.
    """
    later = []
    has_user = any(kind == c.CLONE_NEWUSER for _, kind, _ in joined)
    for label, kind, fd in joined:
        if kind == c.CLONE_NEWUSER:
            continue
        try:
            kernel.setns(fd, kind)
        except OSError as error:
            if error.errno != errno.EPERM or not has_user:
                raise refused(label, error) from None
            later.append((label, kind, fd))
    for label, kind, fd in [entry for entry in joined if entry[1] == c.CLONE_NEWUSER] + later:
        try:
            kernel.setns(fd, kind)
        except OSError as error:
            raise refused(label, error) from None


def refused(label: str, error: OSError) -> StepError:
    """Why a namespace cannot be joined."""
    detail = ""
    if error.errno == errno.EPERM:
        detail = "the caller has no CAP_SYS_ADMIN over this namespace"
    elif error.errno == errno.ESRCH:
        detail = "the container's first process is ending, and the rest with it"
    return StepError(label, error.errno or 0, detail)
