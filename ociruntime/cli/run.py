"""ociruntime run [options] ID: create, start, stay, delete."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socketpair

from ociruntime import hostos as os
from ociruntime.arguments import FLAG, parse
from ociruntime.cli.create import ALIASES as CREATE_ALIASES
from ociruntime.cli.create import OPTIONS as CREATE_OPTIONS
from ociruntime.cli.create import prepare
from ociruntime.errors import NotFound
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import Signals
from ociruntime.lifecycle.create import create
from ociruntime.lifecycle.delete import destroy
from ociruntime.lifecycle.start import start
from ociruntime.process.foreground import outputs_of, receive_master, stay
from ociruntime.spec.idmaps import host_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals
    from ociruntime.state.store import Container

OPTIONS = {**CREATE_OPTIONS, "detach": FLAG, "keep": FLAG}
ALIASES = {**CREATE_ALIASES, "d": "detach"}


def main(words: list[str], globals_: Globals) -> int:
    """Run a container; without --detach the exit status is its own (128 + n for signal n)."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="run")
    config, raw, wanted = prepare(options, globals_, "run")
    detach = options.flag("detach")
    terminal = bool((config.get("process") or {}).get("terminal"))
    ours = -1
    if terminal and not detach and not wanted.console_socket:
        left, right = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        ours, wanted.console_fd = left.detach(), right.detach()
        wanted.relayed = True
    outputs = None
    if not terminal and not detach:
        outputs = outputs_of(config.get("process") or {}, lambda: host_user(config))
        wanted.streams = outputs.streams if outputs else ()
    if not detach and not options.flag("no-subreaper"):
        # Orphans of the container's processes become ours and not the machine's (prctl(2)).
        Kernel().prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    run = create(config, raw, wanted)
    container = run.container
    assert container is not None
    try:
        for warning in run.warnings:
            globals_.log.warning(warning)
        for note in run.notes:
            globals_.log.debug(note)
        readiness = None
        if os.getenv("NOTIFY_SOCKET"):
            from ociruntime.process.readiness import listen

            readiness = listen(container, globals_.log.warning)
        if detach:
            for warning in start(container, is_new=True):
                globals_.log.warning(warning)
            if readiness is not None:
                from ociruntime.cli.start import wait_until_ready

                wait_until_ready(container, readiness)
            return 0
        signals = Signals(Kernel())
        if wanted.console_fd >= 0:
            run.kernel.close(wanted.console_fd)
        master = receive_master(ours) if ours >= 0 else -1
        for warning in start(container, is_new=True):
            globals_.log.warning(warning)
        container.unlock()
        status = stay(run, signals, master, globals_.log.warning, outputs, readiness)
    except BaseException:
        remove(run.container, globals_)
        raise
    if not options.flag("keep"):
        remove(container, globals_)
    return status


def remove(container: Container | None, globals_: Globals) -> None:
    """Remove the container, unless somebody else has done so."""
    if container is None:
        return
    try:
        container.lock()
        for warning in destroy(container):
            globals_.log.warning(warning)
    except NotFound:
        pass
    except Exception as error:  # noqa: BLE001 - what has brought us here is what has to be told
        globals_.log.warning(f"cannot remove container {container.id}: {error}")  # noqa: G004
