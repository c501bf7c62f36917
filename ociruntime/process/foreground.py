"""Staying with a process until it ends: signals are passed on, a terminal is relayed, the status is
ours.

Only ``run`` and ``exec`` without --detach come here.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket
from select import POLLIN, poll

from ociruntime import hostos as os
from ociruntime.errors import OciError, explain_errno
from ociruntime.kernel.signals import BY_NAME, SIGWINCH, Children
from ociruntime.kernel.sockets import DescriptorsLost, receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.kernel.signals import Signals
    from ociruntime.process.outputs import Outputs
    from ociruntime.process.readiness import Readiness
    from ociruntime.process.relay import Relay
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import ProcessConfig

EXITED = 1
STDOUT, STDERR = 1, 2
# What ends no program by default, or only stops it (signal(7)).
HARMLESS = [BY_NAME[name] for name in ("CONT", "TSTP", "WINCH")]


def receive_master(connection: int) -> int:
    """The terminal's master that init sent; -1 when it died first. Closes ``connection``. Raises
    ``OciError`` where we may open no more.
    """
    receiver = socket(AF_UNIX, SOCK_STREAM, 0, connection)
    try:
        _, fds = receive(receiver, 64)
    except DescriptorsLost as error:
        why = explain_errno(error.errno or 0)
        raise OciError(f"process.terminal: its master was lost: {why}") from None
    finally:
        receiver.close()
    return fds[0] if fds else -1


def outputs_of(process: ProcessConfig, owner: Callable[[], tuple[int, bool]]) -> Outputs | None:
    """What relays the output of ``process``, which has no terminal: None where it can have our own
    descriptors.

    ``owner`` is asked who its user is for the host, -1 where that is not known, and whether it is
    in a user namespace.
    """
    files = [fd for fd in (STDOUT, STDERR) if os.is_regular(os.fstat(fd).st_mode)]
    if not files:
        return None
    from ociruntime.process.outputs import Outputs, is_closed_to

    who, in_userns = owner()
    closed = [fd for fd in files if is_closed_to(fd, process, who, in_userns=in_userns)]
    return Outputs(closed) if closed else None


def stay(
    run: Run,
    signals: Signals,
    master: int,
    warn: Callable[[str], None],
    outputs: Outputs | None = None,
    readiness: Readiness | None = None,
) -> int:
    """Wait for the end of ``run``'s process; the exit status a shell would show (128 + n for signal
    n).

    Parameters: ``master`` is its terminal's master, -1 without one; ``outputs`` relays to files;
    ``warn`` is told of output that found no place; ``readiness`` has what it says to the service
    manager.
    """
    relay = None
    if master >= 0:
        from ociruntime.process.relay import Relay

        relay = Relay(master)
    poller = poll()
    poller.register(run.pidfd, POLLIN)
    poller.register(signals.fd, POLLIN)
    children = Children(run.kernel)
    poller.register(children.fd, POLLIN)
    if readiness:
        poller.register(readiness.fd, POLLIN)
    _bury(run)  # those of the hooks
    if outputs:
        outputs.begin(poller)
    try:
        if relay:
            relay.watch(poller)
        while True:
            for fd, event in poller.poll():
                if fd == run.pidfd:
                    status = _status(run)
                    if outputs:
                        outputs.finish(warn)
                    if relay:
                        _finish(relay, signals, warn)
                    return status
                if fd == signals.fd:
                    for number in signals.read():
                        _pass_on(run, relay, number)
                elif fd == children.fd:
                    children.clear()
                    _bury(run)
                elif readiness and fd == readiness.fd:
                    readiness.relay()
                elif outputs and outputs.serve(poller, fd):
                    pass
                elif relay:
                    relay.serve(poller, fd, event)
    finally:
        if relay:
            relay.close()


def _finish(relay: Relay, signals: Signals, warn: Callable[[str], None]) -> None:
    """Hand on the last output. There is nobody left to pass signals on to: one that would end us
    ends the waiting.
    """
    while not relay.finish(signals.fd):
        if any(number not in HARMLESS for number in signals.read()):
            break
    lost = relay.lost
    if lost is not None:
        warn(lost)


def _pass_on(run: Run, relay: Relay | None, number: int) -> None:
    if number == SIGWINCH and relay:
        relay.resize()
        return
    try:
        run.kernel.pidfd_send_signal(run.pidfd, number)
    except ProcessLookupError:
        pass


def _bury(run: Run) -> None:
    """Wait for orphans that became ours (prctl(2), PR_SET_CHILD_SUBREAPER).

    The first process of a pid namespace cannot end before everybody who was executed into it has
    been waited for (pid_namespaces(7)), so that without this we would wait for it for ever.
    """
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, flags)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == run.pid:
            return
        os.waitpid(ended.si_pid, 0)


def _status(run: Run) -> int:
    code, status = run.kernel.wait_pidfd(run.pidfd)
    run.pid = 0
    return status if code == EXITED else 128 + status
