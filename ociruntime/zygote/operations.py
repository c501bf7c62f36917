"""What a zygote's child does: put its descriptors in order, carry out a request, report, go on."""

from __future__ import annotations

import gc
import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from ociruntime.errors import OciError, StateError, unexpected
from ociruntime.jsontext import to_bytes
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.create import create, read_bundle
from ociruntime.lifecycle.delete import delete, delete_by_force, destroy
from ociruntime.lifecycle.exec import exec_process
from ociruntime.lifecycle.kill import kill
from ociruntime.lifecycle.start import start
from ociruntime.plan.requests import CreateRequest, ExecRequest, own_process, with_variables
from ociruntime.process.descriptors import close_others
from ociruntime.resident.worker import arrange
from ociruntime.spec import load_process, load_resources
from ociruntime.state.document import state_document
from ociruntime.state.ids import check_id
from ociruntime.state.status import pid_of, status
from ociruntime.state.store import Store
from ociruntime.zygote import wire
from ociruntime.zygote.adopted import AdoptedKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.process.run import Run
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container

    Command = Callable[[list[str]], int]

# Standard streams, and which of the zygote's descriptors stands in for one that is missing.
STREAMS = {"stdin": 0, "stdout": 1, "stderr": 1}
PRESERVE = "preserve"
# What a program may ask of ``plan.requests``, by the same names.
CREATE = (
    "cgroup_manager",
    "console_socket",
    "new_keyring",
    "pid_file",
    "pidfd_socket",
    "pivot",
)
EXEC = ("cgroups", "console_socket", "ignore_paused", "pid_file", "pidfd_socket")


class Request:
    """The parameters of a request, its descriptors by name but for those of the process, and what
    carries out a command line.
    """

    __slots__ = ("command", "fds", "parameters")

    def __init__(
        self, parameters: dict[str, Any], fds: dict[str, int], command: Command
    ) -> None:
        self.command = command
        self.parameters = parameters
        self.fds = fds

    def store(self) -> Store:
        return Store(self.parameters["root"])

    def id(self) -> str:
        return check_id(self.parameters["id"])

    def locked(self) -> Container:
        return self.store().open_locked(self.id())

    def opened(self) -> Container:
        return self.store().open(self.id())

    def given(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Those of the parameters ``names`` that the program has given."""
        return {name: self.parameters[name] for name in names if name in self.parameters}

    def preserved(self) -> int:
        """How many descriptors from 3 on are the process's."""
        return sum(name.startswith(PRESERVE) for name in self.parameters.get("fds", ()))


class Outcome:
    """What an operation leaves: the reply's object, the new process's pid and pidfd if it made
    one.
    """

    __slots__ = ("pid", "pidfd", "result")

    def __init__(self, result: dict[str, Any], pid: int = 0, pidfd: int = -1) -> None:
        self.result = result
        self.pid = pid
        self.pidfd = pidfd


def work(channel: socket, packet: wire.Packet, command: Command) -> None:
    """Carry out the request and report; go on with others until there are no more or one fails,
    unless it has this process to itself. Never prints.
    """
    lasting = packet.kind == wire.LASTING
    kernel, mask = Kernel(), os.umask(0o22)
    os.umask(mask)
    following: wire.Packet | None = packet
    is_arranged = False
    while following is not None:
        number = following.number
        kind, body, pid, fds = wire.FAILED, {}, 0, []
        try:
            parameters = following.body(null=False)
            named = dict(zip(parameters.get("fds", ()), following.fds, strict=True))
            if named or not is_arranged:
                channel, named = _arrange(channel, named)
                is_arranged = True
            outcome = OPERATIONS[parameters["operation"]](Request(parameters, named, command))
            kind, body, pid = wire.RESULT, outcome.result, outcome.pid
            fds = [outcome.pidfd] if outcome.pidfd >= 0 else []
        except OciError as error:
            body = wire.error_document(error)
        except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
            body = wire.error_document(OciError(unexpected(error)))
        # What the operation left open, its lock first of all, is closed before anybody knows.
        close_others(kernel, (0, 1, 2, channel.fileno(), *fds))
        _let_go_of_streams()
        wire.send(channel, kind, number, wire.encode(body), fds, pid)
        if not lasting or kind == wire.FAILED:
            break
        os.umask(mask)
        os.chdir("/")
        for fd in fds:
            os.close(fd)
        # Now, while nothing but the channel is open: what is left of a request may close
        # descriptors when it is found, whose numbers would be the next one's (0.15 ms).
        gc.collect()
        following = wire.receive(channel)


def _let_go_of_streams() -> None:
    """Have none of the container's standard streams: who reads them waits for their last writer."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in range(len(STREAMS)):
        os.dup2(null, number, inheritable=True)
    os.close(null)


def _arrange(channel: socket, named: dict[str, int]) -> tuple[socket, dict[str, int]]:
    """Give the process the standard streams and preserved descriptors that came with the request.

    Returns the channel and the other descriptors by name, under their new numbers.
    """
    # Standard error is for the zygote's last words; its standard output is /dev/null.
    inherited = [named.pop(name, default) for name, default in STREAMS.items()]
    while (name := f"{PRESERVE}{len(inherited) - len(STREAMS)}") in named:
        inherited.append(named.pop(name))
    number, *others = arrange(inherited, [channel.detach(), *named.values()])
    end = socket(AF_UNIX, SOCK_SEQPACKET, 0, number)
    return end, dict(zip(named, others, strict=True))


def _create(request: Request) -> Outcome:
    run, warnings = _created(request)
    assert run.container is not None
    # Before the report: who has read it may start the container without waiting for the lock.
    run.container.close()
    return _made(run, warnings)


def _run(request: Request) -> Outcome:
    run, warnings = _created(request)
    container = run.container
    assert container is not None
    try:
        warnings += start(container, is_new=True)
    except BaseException:
        _remove(container)
        raise
    container.close()
    return _made(run, warnings)


def _remove(container: Container) -> None:
    """As after a failing ``ociruntime run``: nothing of the container stays."""
    try:
        destroy(container)
    except Exception:  # noqa: BLE001
        return  # the failure of `start` is what matters; `delete --force` says why


def _created(request: Request) -> tuple[Run, list[str]]:
    container_id = request.id()
    bundle, raw, config, warnings = read_bundle(
        request.parameters["bundle"], request.parameters.get("config") or "config.json"
    )
    wanted = CreateRequest(
        container_id,
        request.store(),
        bundle,
        console_fd=request.fds.get("console", -1),
        preserve_fds=request.preserved(),
        **request.given(CREATE),
    )
    run = create(config, raw, wanted, kernel=AdoptedKernel())
    return run, warnings


def _made(run: Run, warnings: list[str]) -> Outcome:
    result = {"pid": run.pid, "warnings": warnings + run.warnings}
    pidfd, run.pidfd = run.pidfd, -1
    run.close()
    return Outcome(result, run.pid, pidfd)


def _start(request: Request) -> Outcome:
    return Outcome({"warnings": start(request.locked())})


def _exec(request: Request) -> Outcome:
    container = request.opened()
    process = _process(request.parameters, container)
    warnings = load_process(to_bytes(process), process, source="process")
    if request.parameters.get("process") is None:
        warnings = []  # `create` has told them
    wanted = ExecRequest(
        console_fd=request.fds.get("console", -1),
        preserve_fds=request.preserved(),
        **request.given(EXEC),
    )
    return _made(exec_process(container, process, wanted), warnings)


def _process(parameters: dict[str, Any], container: Container) -> ProcessConfig:
    """The given process, else the container's own without its terminal, with the changes."""
    process: ProcessConfig | None = parameters.get("process")
    if process is None:
        process = own_process(container)
    process.update(parameters.get("changes", {}))
    added = parameters.get("env", [])
    if added:
        process["env"] = with_variables(process.get("env", ()), added)
    return process


def _state(request: Request) -> Outcome:
    container = request.opened()
    if not container.data:
        raise StateError(
            f"container {container.id} has no state: its creation has just begun or was cut short; "
            f"`ociruntime delete --force {container.id}` removes it"
        )
    word = status(container)
    return Outcome({**state_document(container, word, pid_of(container, word)), "warnings": []})


def _kill(request: Request) -> Outcome:
    everything = request.parameters.get("all", False)
    kill(request.opened(), request.parameters["signal"], everything=everything)
    return Outcome({"warnings": []})


def _delete(request: Request) -> Outcome:
    if request.parameters.get("force", False):
        return Outcome({"warnings": delete_by_force(request.store(), request.id())})
    return Outcome({"warnings": delete(request.locked())})


def _pause(request: Request) -> Outcome:
    from ociruntime.lifecycle.pause import pause

    pause(request.locked())
    return Outcome({"warnings": []})


def _resume(request: Request) -> Outcome:
    from ociruntime.lifecycle.pause import resume

    resume(request.locked())
    return Outcome({"warnings": []})


def _update(request: Request) -> Outcome:
    from ociruntime.lifecycle.update import update

    resources = request.parameters["resources"]
    warnings = load_resources(to_bytes(resources), resources, source="resources")
    return Outcome({"warnings": warnings + update(request.locked(), resources, [])})


def _command(request: Request) -> Outcome:
    return Outcome({"status": request.command(request.parameters["arguments"])})


OPERATIONS: dict[str, Callable[[Request], Outcome]] = {
    "command": _command,
    "create": _create,
    "delete": _delete,
    "exec": _exec,
    "kill": _kill,
    "pause": _pause,
    "resume": _resume,
    "run": _run,
    "start": _start,
    "state": _state,
    "update": _update,
}
