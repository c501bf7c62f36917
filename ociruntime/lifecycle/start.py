"""start: let the waiting oci-init execute the program (runtime.md#start)."""

from __future__ import annotations

import time
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC
from _struct import iter_unpack
from errno import E2BIG, EINVAL

from ociruntime import hostos as os
from ociruntime.errors import HookError, OciError, StateError, WrongStatus
from ociruntime.kernel import block
from ociruntime.process.patience import Patience, set_look
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from ociruntime.kernel.block import Report
    from ociruntime.seccomp.listener import Agent
    from ociruntime.state.store import Container

KILLED = "container {id}: its init does not wait any more; it was killed"
# Between two attempts to reach an init that does not take connections.
CONNECT_AGAIN_SECONDS = 0.02
# A container that was created, but whose start failed: it is stopped, and delete's to remove.
MISSING_PROCESS = (
    "container {id} has no process to start: config.json has no `process`; create it with one"
)
# What of process.user oci-init sets where.
IDENTITY = {
    block.STAGE_GROUPS: "additionalGids",
    block.STAGE_GID: "gid",
    block.STAGE_UID: "uid",
}


def start(container: Container) -> list[str]:
    """Start a created container (loaded and locked); returns warnings.

    Raises ``WrongStatus`` without effect, ``HookError`` after the container was removed,
    ``OciError`` when the program cannot be executed: the container is stopped then.
    """
    word = st.status(container)
    if word != st.CREATED:
        raise WrongStatus(wrong_status(container, word))
    if not container.data.get("has_process"):
        raise StateError(MISSING_PROCESS.format(id=container.id))
    hooks = container.data.get("hooks", [])
    config = container.config() if "startContainer" in hooks or "poststart" in hooks else {}
    warnings: list[str] = []
    agent = connect_agent(container)
    try:
        if "startContainer" in hooks:
            _hooks_or_remove(container, config, "startContainer", warnings)
        report = _release(container, _connect(container), agent)
    finally:
        if agent is not None:
            agent.close()
    if report is not None:
        raise OciError(explain_report(report, container.config()["process"]))
    if "poststart" in hooks:
        _hooks_or_remove(container, config, "poststart", warnings)
    return warnings


def wrong_status(container: Container, word: str) -> str:
    """Why a container with the status ``word`` cannot be started."""
    return {
        st.STOPPED: f"cannot start a container that has stopped: {container.id}",
        st.RUNNING: f"cannot start an already running container: {container.id}",
    }.get(word, f"cannot start a container in the {word} state: {container.id}")


def connect_agent(container: Container) -> Agent | None:
    """The seccomp agent of the container, None when its profile needs none. Raises ``OciError``."""
    listener = container.data.get("seccomp_listener")
    if listener is None:
        return None
    from ociruntime.seccomp.listener import Agent

    return Agent(listener)


def _connect(container: Container) -> socket:
    """A connection to oci-init; raises ``StateError`` when it has ended, and ``HeldError`` when it
    does not answer because somebody holds it up.
    """
    patience = _patience(container)
    while True:
        try:
            connection = st.connect(container)
        except BlockingIOError:
            # As many wait for it as may.
            if patience.look():
                time.sleep(CONNECT_AGAIN_SECONDS)
                continue
            connection = None
        if connection is None:
            raise StateError(KILLED.format(id=container.id))
        connection.settimeout(None)
        return connection


def _patience(container: Container) -> Patience:
    return Patience(container.data["pid"], f"container {container.id}: its init")


def _release(container: Container, connection: socket, agent: Agent | None) -> Report | None:
    """Tell oci-init to go on; None when the program runs, else what failed.

    The agent gets its listener meanwhile. Where it cannot, the container is killed: nobody would
    answer for its system calls (config-linux.md#seccomp: "the runtime MUST generate an error").
    """
    pid = container.data["pid"]
    try:
        try:
            connection.send(block.START)
        except OSError:
            raise StateError(KILLED.format(id=container.id)) from None
        set_look(connection)
        patience = _patience(container)
        return read_report(connection, agent, container, pid, st.CREATED, patience)
    except OciError:
        from ociruntime.lifecycle.kill import SIGKILL, kill

        try:
            kill(container, SIGKILL)
        except WrongStatus:
            pass  # it has ended by itself
        raise
    finally:
        connection.close()
        container.remove_socket()


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
    reset = False
    while True:
        try:
            answer, control, _, _ = channel.recvmsg(64, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            if patience is not None and patience.look():
                continue
            raise StateError(KILLED.format(id=container.id)) from None
        except ConnectionResetError:
            # It ended without reading our word, and the kernel tells that first, once: what it
            # said before is still there.
            reset = True
            continue
        report = block.unpack_report(answer) if answer else None
        if report is None and reset and word == st.CREATED:
            raise StateError(KILLED.format(id=container.id))
        if report is not None and report.stage == block.STAGE_LISTENER and not report.errno:
            for _, _, data in control:
                for (fd,) in iter_unpack("=i", data):
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


def explain_report(report: Report, process: dict[str, Any]) -> str:
    """One line for a failure of oci-init, which should become ``process``; the texts are those that
    engines turn into 126 and 127.
    """
    why = os.strerror(report.errno).lower()
    if report.stage == block.STAGE_EXEC and report.errno == E2BIG:
        from ociruntime.steps.execinit import too_long

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
    return f"cannot {block.STAGES[report.stage]}: {why}"


def _hooks_or_remove(
    container: Container, config: dict[str, Any], phase: str, warnings: list[str]
) -> None:
    """Run the hooks of ``phase``; when one fails, the container is stopped and removed
    (runtime.md#lifecycle).
    """
    from ociruntime.lifecycle.delete import destroy
    from ociruntime.lifecycle.starthook import run_start_hook
    from ociruntime.process.hook import run_hook
    from ociruntime.process.hookguard import DELETED, HookGuard

    try:
        for index, hook in enumerate(config["hooks"][phase]):
            label = f"hooks.{phase}[{index}] {hook['path']}"
            if phase == "startContainer":
                run_start_hook(label, hook, container, config["process"])
            else:
                guard = HookGuard(lambda: DELETED if container.is_unwanted() else "")
                pid = container.data["pid"]
                run_hook(label, hook, container, st.RUNNING, pid, guard=guard)
    except HookError:
        warnings += destroy(container)
        container.data = {}
        raise
