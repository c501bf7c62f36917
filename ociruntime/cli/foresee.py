"""ociruntime plan exec|update|delete|mounts: what these commands would do to a container."""

from __future__ import annotations

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli import delete, mounts, update
from ociruntime.cli import exec as exec_
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle import livemounts
from ociruntime.lifecycle.exec import plan
from ociruntime.lifecycle.foresee import delete_steps, update_steps
from ociruntime.plan.explain import as_json, as_text, heading
from ociruntime.plan.host import read_host
from ociruntime.screen import Screen
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals
    from ociruntime.plan.explain import AboutPlan, Described
    from ociruntime.process.run import Run
    from ociruntime.state.store import Container

COMMANDS = {"exec": exec_, "update": update, "delete": delete, "mounts": mounts}
FORMATS = ("text", "json")
EXTRA = {"format": VALUE, "width": VALUE, "syscalls": FLAG}


def main(operation: str, words: list[str], globals_: Globals) -> int:
    """Print what would be done, and do nothing."""
    command = COMMANDS[operation]
    options = parse(
        words,
        {**command.OPTIONS, **EXTRA},
        command.ALIASES,
        stop_at_argument=operation == "exec",
        command=f"plan {operation}",
    )
    form = options.text("format") or "text"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use text or json")
    tells_calls = options.flag("syscalls")
    if tells_calls and operation != "exec":
        raise UsageError(
            f"plan {operation}: --syscalls tells the calls of a new process in the container, and "
            "here is none; leave it out"
        )
    name = _container(operation, options.arguments)
    container = globals_.store.open(check_id(name))
    warnings: list[str] = []
    try:
        if operation == "exec":
            run = _exec(container, options, warnings)
            steps: Sequence[Described] = run.steps
        else:
            steps = _steps(operation, container, options, warnings)
        host = read_host(Kernel())
        about: AboutPlan = {
            "id": container.id,
            "operation": operation,
            "bundle": container.data["bundle"],
            "host": host.as_dict(),
        }
        title = heading(f"{operation} {container.id}", steps, host)
        screen = Screen.of(options.number("width"))
        if tells_calls:
            from ociruntime.plan.syscalls import tell

            if form == "json":
                text = tell.exec_as_json(about, run)
            else:
                text = tell.exec_as_text(title, run, screen)
        elif form == "json":
            text = as_json(about, steps, warnings)
        else:
            text = as_text(title, steps, warnings, screen)
    finally:
        container.close()
    say(text.encode("utf-8", "backslashreplace"))
    return 0


def _container(operation: str, arguments: list[str]) -> str:
    """The container's id; raises ``UsageError``."""
    if operation == "mounts":
        if len(arguments) != 3 or arguments[0] != "add":
            raise UsageError("plan mounts: wants `add`, a container id and a file")
        return arguments[1]
    if not arguments or (operation != "exec" and len(arguments) > 1):
        raise UsageError(f"plan {operation}: wants one container id")
    return arguments[0]


def _steps(
    operation: str, container: Container, options: Options, warnings: list[str]
) -> Sequence[Described]:
    if operation == "delete":
        return delete_steps(container, force=options.flag("force"))
    if operation == "update":
        return update_steps(container, update.wanted(options, warnings.append), warnings)
    if operation == "mounts":
        entries, source = mounts.read_entries(options.arguments[2])
        before, inside = livemounts.plan(container, entries, source, warnings)
        return [*before, *inside]
    raise AssertionError(operation)


def _exec(container: Container, options: Options, warnings: list[str]) -> Run:
    wanted = exec_.request_of(options)
    process = exec_.process_of(container, options, warnings.append)
    if process.get("terminal") and not wanted.console_socket:
        wanted.console_fd = 0  # asked for, but never used
    run = plan(container, process, wanted, Kernel())
    run.warnings[:0] = warnings
    warnings[:] = run.warnings
    return run
