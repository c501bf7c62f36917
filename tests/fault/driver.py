"""Carries out operations of the checkout, which stop where the test wants it (points.py).

    driver.py WAY DIRECTORY FD

``WAY`` is who the operations are carried out for. ``commands``: each message that comes from the
socket ``FD`` is the JSON text of one, with ``verb``, ``root``, ``id``, ``log`` (a file for standard
error) and what the verb needs; a fork carries it out, as a command of its own would, and its exit
status is the answer (negative for a signal). What an engine would see is printed to the log, with
exit status 1: the error in one line, ``internal error`` where it is none of ours. ``run`` is create
and start; when only start fails, the exit status is NOT_STARTED. ``library``: it is the zygote of a
program whose end of the conversation is ``FD``. ``shim``: it is the daemon of a containerd shim,
which gets its orders from ``FD``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

from ociruntime.errors import OciError, unexpected  # noqa: E402
from ociruntime.lifecycle.create import create, read_bundle  # noqa: E402
from ociruntime.lifecycle.delete import delete  # noqa: E402
from ociruntime.lifecycle.exec import exec_process  # noqa: E402
from ociruntime.lifecycle.start import start  # noqa: E402
from ociruntime.plan.requests import CreateRequest, ExecRequest  # noqa: E402
from ociruntime.state.store import Store  # noqa: E402
from tests.fault.points import Points  # noqa: E402

NOT_STARTED = 3
MESSAGE = 1 << 16
# How many seconds the shim's daemon leaves a dead process to its tracer.
PATIENCE = 0.2


def main() -> None:
    way, directory, fd = sys.argv[1], sys.argv[2], int(sys.argv[3])
    WAYS[way](Points(directory), fd)


def be_commands(points: Points, fd: int) -> None:
    points.install(sys.modules[__name__])
    control = socket.socket(fileno=fd)
    while request := control.recv(MESSAGE):
        asked = json.loads(request)
        pid = os.fork()
        if pid == 0:
            control.close()
            os._exit(be_command(asked))
        _, status = os.waitpid(pid, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


def be_command(asked: dict[str, Any]) -> int:
    """The command's process; its exit status."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, from_fd in enumerate((null, null, log)):
        os.dup2(from_fd, target)
    os.close(null)
    os.close(log)
    try:
        return carry_out(asked)
    except OciError as error:
        said = str(error)
    except BaseException as error:  # noqa: BLE001 - as the command line does
        said = unexpected(error)
    os.write(2, f"{said}\n".encode())
    return 1


def carry_out(asked: dict[str, Any]) -> int:
    store = Store(asked["root"])
    if asked["verb"] in ("create", "run"):
        bundle, raw, config, _ = read_bundle(asked["bundle"], "config.json")
        options = CreateRequest(asked["id"], store, bundle)
        for name, value in asked["options"].items():
            setattr(options, name, value)
        run = create(config, raw, options)
        if asked["verb"] == "run":
            assert run.container is not None
            try:
                start(run.container)
            except OciError as error:
                os.write(2, f"{error}\n".encode())
                return NOT_STARTED
    elif asked["verb"] == "exec":
        wanted = ExecRequest()
        for name, value in asked["options"].items():
            setattr(wanted, name, value)
        exec_process(store.open(asked["id"]), asked["process"], wanted)
    elif asked["verb"] == "start":
        start(store.open_locked(asked["id"]))
    else:
        delete(store.open_locked(asked["id"]))
    return 0


def be_zygote(points: Points, fd: int) -> None:
    from ociruntime.cli.main import main
    from ociruntime.zygote import operations, server

    points.install(operations)
    server.main(fd, main)


def be_shim(points: Points, fd: int) -> None:
    from ociruntime.kernel import kept
    from ociruntime.lifecycle import exec as execution
    from ociruntime.log import Log
    from ociruntime.shim import operations
    from ociruntime.shim.daemon import begin

    points.install(operations)
    kept.KEPT_SECONDS = PATIENCE
    progress = execution.progress

    def observed(run: Any) -> Any:
        stop = points.stop("exec")
        run.observer = stop.observe if stop else None
        return progress(run)

    # exec has no worker: it is the daemon that stops.
    execution.progress = observed
    begin(socket.socket(fileno=fd), Log())


WAYS = {"commands": be_commands, "library": be_zygote, "shim": be_shim}

if __name__ == "__main__":
    main()
