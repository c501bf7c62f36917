"""What oci-init or oci-exec reports, in words for people."""

from __future__ import annotations

from errno import E2BIG, EINVAL

from ociruntime import hostos as os
from ociruntime.errors import OciError, StateError, explain_errno
from ociruntime.kernel import block
from ociruntime.kernel.sockets import DescriptorsLost, receive
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence

    from ociruntime.kernel.block import Report
    from ociruntime.process.patience import Patience
    from ociruntime.seccomp.listener import Agent
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container

KILLED = "container {id}: its init does not wait any more; it was killed"
# MAX_ARG_STRLEN (execve(2)): one text with its NUL.
LONGEST_TEXT = 128 * 1024
# What of process.user oci-init sets where.
IDENTITY = {
    block.STAGE_GROUPS: "additionalGids",
    block.STAGE_GID: "gid",
    block.STAGE_UID: "uid",
}


def read_report(
    channel: socket,
    agent: Agent | None,
    container: Container,
    pid: int,
    word: str,
    patience: Patience | None = None,
) -> Report | None:
    """None once the program has been executed, else what failed; a seccomp listener that comes
    before is handed to ``agent``.

    Parameters: ``pid`` is the process (as we see it), ``word`` the container's status, ``patience``
    the wait for it where ``channel`` has a time limit (``process.patience``). Raises ``OciError``
    when the agent does not get its listener, ``StateError`` when the process was killed before it
    read what it was told.
    """
    reset, there = False, True
    while True:
        try:
            answer, fds = receive(channel, 64)
        except DescriptorsLost as error:
            why = explain_errno(error.errno or 0)
            raise OciError(f"linux.seccomp: the listener was lost: {why}") from None
        except BlockingIOError:
            if patience is None or not there:
                raise StateError(KILLED.format(id=container.id)) from None
            # One that has ended may have spoken after our last look into the channel.
            there = patience.look()
            continue
        except ConnectionResetError:
            # It ended without reading our word, and the kernel tells that first, once: what it
            # said before is still there.
            reset = True
            continue
        report = block.unpack_report(answer) if answer else None
        if report is None and reset and word == st.CREATED:
            raise StateError(KILLED.format(id=container.id))
        if report is not None and report.stage == block.STAGE_LISTENER and not report.errno:
            for fd in fds:
                _serve(agent, fd, container, pid, word)
            continue
        if report is None and agent is not None and not agent.served:
            raise OciError("linux.seccomp: the listener was lost; the process was killed")
        return report


def _serve(agent: Agent | None, fd: int, container: Container, pid: int, word: str) -> None:
    from ociruntime.state.document import state_document

    try:
        if agent is not None:
            agent.serve(fd, pid, state_document(container, word, container.data["pid"]))
    finally:
        os.close(fd)


def explain_report(report: Report, process: ProcessConfig) -> str:
    """One line for a failure of oci-init, which should become ``process``; the texts are those that
    engines turn into 126 and 127.
    """
    why = os.strerror(report.errno).lower()
    if report.stage == block.STAGE_EXEC and report.errno == E2BIG:
        return f"{why}: {too_long(process['args'], process.get('env') or ())}"
    if report.stage == block.STAGE_EXEC:
        return f'exec: "{process["args"][0]}": {why}'
    name = IDENTITY.get(report.stage)
    if report.errno == EINVAL and name is not None:
        # The planner finds what the config does not map; a namespace that was joined it cannot see.
        why += (
            f": process.user.{name} {process['user'].get(name)} is not mapped in the container's "
            "user namespace; use an id that is, or map it with linux.uidMappings and gidMappings"
        )
    if report.stage == block.STAGE_CHDIR:
        why = (
            f"{why}: process.cwd {process['cwd']}; let root of the container or the user enter "
            "it, or choose another"
        )
    return f"cannot {block.STAGES[report.stage]}: {why}"


def too_long(args: Sequence[str], env: Sequence[str]) -> str:
    """What the kernel has no room for: one text of the process, or all of them together."""
    for name, texts in (("env", env), ("args", args)):
        for index, text in enumerate(texts):
            if len(os.fsencode(text)) >= LONGEST_TEXT:
                shown = f" {text.partition('=')[0][:40]}" if name == "env" else ""
                return (
                    f"process.{name}[{index}]{shown} is longer than {LONGEST_TEXT >> 10} KiB, more "
                    "than a program can be given; shorten it"
                )
    return "process.args and process.env are more than the kernel takes; shorten them"
