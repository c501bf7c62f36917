"""ociruntime restore [options] ID"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socketpair

from ociruntime.arguments import parse
from ociruntime.checkpoint.options import RESTORE as OPTIONS
from ociruntime.checkpoint.options import RestoreOptions
from ociruntime.checkpoint.plan import restore
from ociruntime.cli.create import prepare
from ociruntime.cli.run import remove
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import Signals
from ociruntime.process.foreground import receive_master, stay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

ALIASES = {"b": "bundle", "d": "detach", "f": "config"}

__all__ = ["ALIASES", "OPTIONS", "main"]


def main(words: list[str], globals_: Globals) -> int:
    """Restore a container; without --detach stay until it ends, and delete it, as ``run`` does."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="restore")
    wanted = RestoreOptions(options)
    config, raw, create = prepare(options, globals_, "restore")
    detach = options.flag("detach")
    terminal = bool((config.get("process") or {}).get("terminal"))
    ours = -1
    if terminal and not detach and not create.console_socket:
        left, right = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        ours, create.console_fd = left.detach(), right.detach()
        create.relayed = True
    if not detach and not options.flag("no-subreaper"):
        Kernel().prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    signals: list[Signals] = []

    def ready() -> None:
        """From now on signals are the container's."""
        if not detach:
            signals.append(Signals(Kernel()))

    run = restore(config, raw, create, wanted, globals_.criu, ready)
    container = run.container
    assert container is not None
    for warning in run.warnings:
        globals_.log.warning(warning)
    if detach:
        return 0
    try:
        master = receive_master(ours) if ours >= 0 else -1
        container.unlock()
        status = stay(run, signals[0], master, globals_.log.warning)
    except BaseException:
        remove(container, globals_)
        raise
    remove(container, globals_)
    return status
