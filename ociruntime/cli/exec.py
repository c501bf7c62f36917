"""ociruntime exec [options] ID COMMAND [ARGUMENT...], or with --process FILE instead of the
command.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socketpair

from ociruntime.arguments import FLAG, LIST, VALUE, absolute, parse
from ociruntime.bundle import parse_settings, read_file
from ociruntime.errors import UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import Signals
from ociruntime.lifecycle.exec import exec_process
from ociruntime.plan.exec import completed
from ociruntime.plan.requests import ExecRequest, own_process, with_variables
from ociruntime.process.foreground import outputs_of, receive_master, stay
from ociruntime.spec import load_process
from ociruntime.spec.tables import CAPABILITIES, ID_MAX
from ociruntime.state.ids import check_id
from ociruntime.steps.streams import outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container

OPTIONS = {
    "cwd": VALUE,
    "env": LIST,
    "tty": FLAG,
    "user": VALUE,
    "additional-gids": LIST,
    "process": VALUE,
    "detach": FLAG,
    "pid-file": VALUE,
    "console-socket": VALUE,
    "pidfd-socket": VALUE,
    "no-new-privs": FLAG,
    "apparmor": VALUE,
    "process-label": VALUE,
    "cap": LIST,
    "preserve-fds": VALUE,
    "cgroup": LIST,
    "ignore-paused": FLAG,
}
# option -> property of the process
ALIASES = {
    "e": "env",
    "t": "tty",
    "u": "user",
    "g": "additional-gids",
    "p": "process",
    "d": "detach",
    "c": "cap",
}


def main(words: list[str], globals_: Globals) -> int:
    """Run a process in a container; without --detach the exit status is its own (128 + n for signal
    n).
    """
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=True, command="exec")
    if not options.arguments:
        raise UsageError("exec: wants a container id and a command")
    container = globals_.store.open(check_id(options.arguments[0]))
    process = process_of(container, options, globals_.log.warning)
    wanted = request_of(options)
    detach = options.flag("detach")
    if wanted.console_socket and not process.get("terminal"):
        raise UsageError(
            "exec: cannot use console socket if runc will not detach or allocate tty: the process "
            "has no terminal; add --tty, or leave --console-socket out"
        )
    ours = -1
    if process.get("terminal") and not wanted.console_socket:
        if detach:
            raise UsageError(
                "exec: cannot allocate tty if runc will detach without setting console socket; "
                "give --console-socket, or leave --detach out"
            )
        left, right = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        ours, wanted.console_fd = left.detach(), right.detach()
        wanted.relayed = True
    outputs = None
    if not process.get("terminal") and not detach:
        outputs = outputs_of(process, lambda: _owner(container, process))
        wanted.streams = outputs.streams if outputs else ()
    run = exec_process(container, process, wanted)
    for warning in run.warnings:
        globals_.log.warning(warning)
    for note in run.notes:
        globals_.log.debug(note)
    if detach:
        return 0
    signals = Signals(run.kernel)
    if wanted.console_fd >= 0:
        run.kernel.close(wanted.console_fd)
    master = receive_master(ours) if ours >= 0 else -1
    return stay(run, signals, master, globals_.log.warning, outputs)


def request_of(options: Options) -> ExecRequest:
    """What the options ask for beside the process."""
    return ExecRequest(
        pid_file=absolute(options.text("pid-file")),
        console_socket=absolute(options.text("console-socket")),
        pidfd_socket=absolute(options.text("pidfd-socket")),
        ignore_paused=options.flag("ignore-paused"),
        preserve_fds=options.number("preserve-fds"),
        cgroups=options.texts("cgroup"),
    )


def _owner(container: Container, process: ProcessConfig) -> tuple[int, bool]:
    """Who the host knows the process's user as, -1 for nobody; whether there is a user
    namespace.
    """
    uid = (process.get("user") or {}).get("uid", 0)
    if "user" not in container.data.get("namespaces", ()):
        return uid, False
    try:
        return outside(Kernel(), container.data["pid"], uid), True
    except OSError:
        return -1, True  # it has just ended, as will be found


def process_of(
    container: Container, options: Options, warn: Callable[[str], None]
) -> ProcessConfig:
    """The process to run: --process FILE, or the container's own process with what the options
    change.
    """
    file = options.text("process")
    command = options.arguments[1:]
    if file is not None:
        raw = read_file(file, where=f"--process {file}", pipes=True)
        process = parse_settings(raw, file)
        for warning in load_process(raw, process, source=file):
            warn(warning)
        process = completed(container, process)
    else:
        if not command:
            raise UsageError("exec: wants a command behind the container id, or --process FILE")
        process = own_process(container)
        process["args"] = command
    if options.flag("tty"):
        process["terminal"] = True
    directory = options.text("cwd")
    if directory is not None:
        process["cwd"] = directory
    if not process["cwd"].startswith("/"):
        raise UsageError(f"exec: --cwd {process['cwd']}: not an absolute path")
    process["env"] = _environment(list(process.get("env") or ()), options.texts("env"))
    if options.flag("no-new-privs"):
        process["noNewPrivileges"] = True
    profile, context = options.text("apparmor"), options.text("process-label")
    if profile is not None:
        process["apparmorProfile"] = profile
    if context is not None:
        process["selinuxLabel"] = context
    _apply_user(process, options)
    _apply_capabilities(process, options.texts("cap"), warn)
    return process


def _environment(env: list[str], added: list[str]) -> list[str]:
    """``added`` variables replace those of the same name."""
    for entry in added:
        name, separator, _ = entry.partition("=")
        if not separator or not name:
            raise UsageError(f"exec: --env {entry}: write NAME=VALUE")
    return with_variables(env, added)


def _apply_user(process: ProcessConfig, options: Options) -> None:
    text = options.text("user")
    groups = [
        parse_id(gid) for entry in options.texts("additional-gids") for gid in entry.split(",")
    ]
    if text is None and not groups:
        return
    user = (process.get("user") or {}).copy()
    if text is not None:
        uid, separator, gid = text.partition(":")
        user["uid"] = parse_id(uid)
        if separator:
            user["gid"] = parse_id(gid)
    if groups:
        user["additionalGids"] = [*user.get("additionalGids", ()), *groups]
    process["user"] = user


def parse_id(text: str) -> int:
    """A numeric user or group id; names are not looked up, and nothing wraps (CVE-2016-3697,
    CVE-2026-30892).
    """
    if text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= ID_MAX:
        return int(text)
    raise UsageError(f"exec: {text!a} is not an id; write UID or UID:GID as numbers up to {ID_MAX}")


def _apply_capabilities(
    process: ProcessConfig, names: list[str], warn: Callable[[str], None]
) -> None:
    """--cap adds to bounding, effective and permitted, and to ambient only what is inheritable
    already (CVE-2022-29162).

    One that is unknown is left out with a warning, as one of config.json (config.md#linux-process).
    """
    if not names:
        return
    given: Mapping[str, Any] = process.get("capabilities") or {}
    capabilities: Any = {name: list(values) for name, values in given.items()}
    for name in names:
        full = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
        if full not in CAPABILITIES:
            warn(f"exec: --cap {name}: unknown capability, left out")
            continue
        sets = ["bounding", "effective", "permitted"]
        if full in capabilities.get("inheritable", ()):
            sets.append("ambient")
        for which in sets:
            capabilities.setdefault(which, []).append(full)
    process["capabilities"] = capabilities
