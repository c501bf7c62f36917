"""ociruntime plan exec|update|delete|mounts: what these commands would do to a container."""

from __future__ import annotations

from ociruntime.arguments import VALUE, parse
from ociruntime.cli import delete, mounts, update
from ociruntime.cli import exec as exec_
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.exec import plan
from ociruntime.lifecycle.foresee import delete_steps, update_steps
from ociruntime.lifecycle.livemounts import add_steps
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
    from ociruntime.state.store import Container

COMMANDS = {"exec": exec_, "update": update, "delete": delete, "mounts": mounts}
FORMATS = ("text", "json")
EXTRA = {"format": VALUE, "width": VALUE}


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
    name = _container(operation, options.arguments)
    container = globals_.store.open(check_id(name))
    warnings: list[str] = []
    try:
        steps = _steps(operation, container, options, warnings)
    finally:
        container.close()
    host = read_host(Kernel())
    if form == "json":
        about: AboutPlan = {
            "id": container.id,
            "operation": operation,
            "bundle": container.data["bundle"],
            "host": host.as_dict(),
        }
        text = as_json(about, steps, warnings)
    else:
        title = heading(f"{operation} {container.id}", steps, host)
        text = as_text(title, steps, warnings, Screen.of(options.number("width")))
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
        before, inside = add_steps(container, entries, source, warnings)
        return [*before, *inside]
    wanted = exec_.request_of(options)
    process = exec_.process_of(container, options, warnings.append)
    if process.get("terminal") and not wanted.console_socket:
        wanted.console_fd = 0  # asked for, but never used
    run = plan(container, process, wanted, Kernel())
    warnings += run.warnings
    return run.steps
