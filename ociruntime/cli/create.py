"""ociruntime create [options] ID"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import FLAG, VALUE, absolute, one_argument, parse
from ociruntime.lifecycle.create import create, read_bundle
from ociruntime.plan.requests import CreateRequest
from ociruntime.process.activation import activation
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals
    from ociruntime.spec.documents import Config

OPTIONS = {
    "bundle": VALUE,
    "config": VALUE,
    "console-socket": VALUE,
    "pid-file": VALUE,
    "pidfd-socket": VALUE,
    "no-pivot": FLAG,
    "no-new-keyring": FLAG,
    "no-subreaper": FLAG,
    "preserve-fds": VALUE,
}
ALIASES = {"b": "bundle", "f": "config"}


def main(words: list[str], globals_: Globals) -> int:
    """Create a container and leave it waiting for ``start``."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="create")
    config, raw, wanted = prepare(options, globals_, "create")
    run = create(config, raw, wanted)
    for warning in run.warnings:
        globals_.log.warning(warning)
    for note in run.notes:
        globals_.log.debug(note)
    return 0


def prepare(
    options: Options, globals_: Globals, command: str
) -> tuple[Config, bytes, CreateRequest]:
    """The config and the options of ``create`` and ``run``; warnings about the config are
    logged.
    """
    container_id = check_id(one_argument(options, command))
    preserve = options.number("preserve-fds")
    bundle, raw, config, warnings = read_bundle(
        options.text("bundle") or ".", options.text("config") or "config.json"
    )
    for warning in warnings:
        globals_.log.warning(warning)
    sockets, variables = activation()
    wanted = CreateRequest(
        container_id,
        globals_.store,
        bundle,
        pid_file=absolute(options.text("pid-file")),
        console_socket=absolute(options.text("console-socket")),
        pidfd_socket=absolute(options.text("pidfd-socket")),
        pivot=not options.flag("no-pivot"),
        new_keyring=not options.flag("no-new-keyring"),
        cgroup_manager=globals_.cgroup_manager,
        preserve_fds=sockets + preserve,
    )
    wanted.variables = variables
    if os.getenv("NOTIFY_SOCKET"):
        from ociruntime.plan.notify import offer

        offer(config, wanted)
    return config, raw, wanted
