"""ociruntime start ID"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import one_argument, parse
from ociruntime.lifecycle.start import start
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals
    from ociruntime.process.readiness import Readiness
    from ociruntime.state.store import Container


def main(words: list[str], globals_: Globals) -> int:
    """Execute the program of a created container."""
    options = parse(words, {}, {}, stop_at_argument=False, command="start")
    container = globals_.store.open_locked(check_id(one_argument(options, "start")))
    readiness = None
    if os.getenv("NOTIFY_SOCKET"):
        from ociruntime.process.readiness import listen

        readiness = listen(container, globals_.log.warning)
    for warning in start(container):
        globals_.log.warning(warning)
    if readiness is not None:
        wait_until_ready(container, readiness)
    return 0


def wait_until_ready(container: Container, readiness: Readiness) -> None:
    """Return when the container says that it is ready, or has ended."""
    from ociruntime.kernel.pids import open_process

    pidfd = open_process(container.data.get("pid", 0), container.data.get("start_time", 0))
    container.unlock()
    if pidfd >= 0:
        readiness.wait(pidfd)
