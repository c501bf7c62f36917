"""start: let the waiting oci-init execute the program (runtime.md#start)."""

from __future__ import annotations

import os

from ociruntime.errors import HookError, OciError, StateError, WrongStatus
from ociruntime.kernel import block
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from ociruntime.kernel.block import Report
    from ociruntime.state.store import Container

# A container that was created, but whose start failed: it is stopped, and delete's to remove.
MISSING_PROCESS = (
    "container {id} has no process to start: config.json has no `process`; create it with one"
)


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
    if "startContainer" in hooks:
        _hooks_or_remove(container, config, "startContainer", warnings)
    connection = st.connect(container)
    if connection is None:
        raise StateError(
            f"container {container.id}: its init does not wait any more; it was killed"
        )
    report = release(connection)
    container.remove_socket()
    if report is not None:
        args = container.config()["process"]["args"]
        raise OciError(explain_report(report, args))
    if "poststart" in hooks:
        _hooks_or_remove(container, config, "poststart", warnings)
    return warnings


def wrong_status(container: Container, word: str) -> str:
    """Why a container with the status ``word`` cannot be started."""
    return {
        st.STOPPED: f"cannot start a container that has stopped: {container.id}",
        st.RUNNING: f"cannot start an already running container: {container.id}",
    }.get(word, f"cannot start a container in the {word} state: {container.id}")


def release(connection: socket) -> Report | None:
    """Tell oci-init to go on; None when the program runs, else what failed."""
    try:
        connection.send(block.START)
        answer = connection.recv(64)
    finally:
        connection.close()
    return block.unpack_report(answer) if answer else None


def explain_report(report: Report, args: list[str]) -> str:
    """One line for a failure of oci-init; the texts are those that engines turn into 126 and
    127.
    """
    why = os.strerror(report.errno).lower()
    if report.stage == block.STAGE_EXEC:
        return f'exec: "{args[0]}": {why}'
    return f"cannot {block.STAGES[report.stage]}: {why}"


def _hooks_or_remove(
    container: Container, config: dict[str, Any], phase: str, warnings: list[str]
) -> None:
    """Run the hooks of ``phase``; when one fails, the container is stopped and removed
    (runtime.md#lifecycle).
    """
    from ociruntime.lifecycle.delete import destroy
    from ociruntime.lifecycle.tenant import run_hook_inside
    from ociruntime.process.hook import run_hook

    try:
        for index, hook in enumerate(config["hooks"][phase]):
            label = f"hooks.{phase}[{index}] {hook['path']}"
            if phase == "startContainer":
                run_hook_inside(label, hook, container)
            else:
                run_hook(label, hook, container, st.RUNNING, container.data["pid"])
    except HookError:
        warnings += destroy(container)
        container.data = {}
        raise
