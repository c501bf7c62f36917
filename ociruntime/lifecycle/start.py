"""start: let the waiting oci-init execute the program (runtime.md#start)."""

from __future__ import annotations

import time

from ociruntime.errors import HookError, OciError, StateError, WrongStatus
from ociruntime.kernel import block
from ociruntime.process.patience import Patience, set_look
from ociruntime.process.report import KILLED, explain_report, read_report
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from ociruntime.kernel.block import Report
    from ociruntime.seccomp.listener import Agent
    from ociruntime.spec.documents import Config
    from ociruntime.state.store import Container

# Between two attempts to reach an init that does not take connections.
CONNECT_AGAIN_SECONDS = 0.02
# A container that was created, but whose start failed: it is stopped, and delete's to remove.
MISSING_PROCESS = (
    "container {id} has no process to start: config.json has no `process`; create it with one"
)


def start(container: Container, *, is_new: bool = False) -> list[str]:
    """Start a created container (loaded and locked); returns warnings.

    One that ``is_new`` was created by the caller, who has held its lock since: its status is known.
    Raises ``WrongStatus`` without effect, ``HookError`` after the container was removed,
    ``OciError`` when the program cannot be executed: the container is stopped then.
    """
    word = st.CREATED if is_new else st.status(container)
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


def _hooks_or_remove(
    container: Container, config: Config, phase: str, warnings: list[str]
) -> None:
    """Run the hooks of ``phase``; when one fails, the container is stopped and removed
    (runtime.md#lifecycle).
    """
    from ociruntime.lifecycle.delete import destroy
    from ociruntime.lifecycle.starthook import run_start_hook
    from ociruntime.process.hook import hooks_of, run_hook
    from ociruntime.process.hookguard import HookGuard

    try:
        for index, hook in enumerate(hooks_of(config, phase)):
            label = f"hooks.{phase}[{index}] {hook['path']}"
            if phase == "startContainer":
                run_start_hook(label, hook, container, config["process"])
            else:
                guard = HookGuard(container.why_unwanted)
                pid = container.data["pid"]
                run_hook(label, hook, container, st.RUNNING, pid, guard=guard)
    except HookError:
        warnings += destroy(container)
        container.data = {}
        raise
