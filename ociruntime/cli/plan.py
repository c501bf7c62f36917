"""ociruntime plan [--format text|json] [--width COLUMNS] [--syscalls] and

[options of create] [ID]                  what `create` would do
--of ID                                   the same for a container that exists
--diff A B                                what differs; each a bundle, a file or a container
exec [options of exec] ID COMMAND...      what `exec` would do, with --syscalls down to its calls
update [options of update] ID             what `update` would write
delete [--force] ID                       what `delete` would remove
"""

from __future__ import annotations

import json
import os

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.create import ALIASES as CREATE_ALIASES
from ociruntime.cli.create import OPTIONS as CREATE_OPTIONS
from ociruntime.cli.create import prepare
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.create import make_plan, read_bundle
from ociruntime.plan.explain import as_json, as_text, heading
from ociruntime.plan.host import as_root, read_host
from ociruntime.plan.namespaces import needs_root
from ociruntime.plan.requests import CreateRequest
from ociruntime.screen import Screen
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals
    from ociruntime.plan.build import Plan
    from ociruntime.plan.explain import AboutPlan
    from ociruntime.plan.host import Host
    from ociruntime.spec.documents import Config

OPTIONS = {
    **CREATE_OPTIONS,
    "format": VALUE,
    "width": VALUE,
    "diff": FLAG,
    "of": VALUE,
    "syscalls": FLAG,
}
ALIASES = CREATE_ALIASES
FORMATS = ("text", "json")
OPERATIONS = ("exec", "update", "delete", "mounts")
# Where the id does not matter, the plan needs one all the same.
DEFAULT_ID = "container"


def main(words: list[str], globals_: Globals) -> int:
    """Print the steps that a command would take on this host, and take none of them.

    They are this caller's steps; where only root could create the container, root's.
    """
    if len(words) > 1 and words[0] in OPERATIONS:
        from ociruntime.cli.foresee import main as foresee

        return foresee(words[0], words[1:], globals_)
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="plan")
    form = options.text("format") or "text"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use text or json")
    if options.flag("diff"):
        if options.flag("syscalls"):
            raise UsageError("plan: --diff compares steps; leave --syscalls out")
        return _diff(options, form, globals_)
    if options.text("of"):
        if options.arguments:
            raise UsageError("plan: --of ID stands alone; see `ociruntime plan --help`")
        planned = stored(options.text("of") or "", globals_)
    else:
        planned = _to_be_created(options, globals_)
    if options.flag("syscalls"):
        planned.tell_syscalls(form, Screen.of(options.number("width")))
    else:
        planned.tell(form, Screen.of(options.number("width")))
    return 0


class Planned:
    """A plan with what it is for."""

    def __init__(self, plan: Plan, host: Host, wanted: CreateRequest) -> None:
        self.plan = plan
        self.host = host
        self.wanted = wanted

    def tell(self, form: str, screen: Screen) -> None:
        """Print it."""
        if form == "json":
            text = as_json(self._about(), self.plan.steps, self.plan.warnings)
        else:
            text = as_text(self._heading(), self.plan.steps, self.plan.warnings, screen)
        say(text.encode("utf-8", "backslashreplace"))

    def tell_syscalls(self, form: str, screen: Screen) -> None:
        """Print the system calls of the container's side."""
        from ociruntime.plan.syscalls import tell

        if form == "json":
            text = tell.as_json(self._about(), self.plan)
        else:
            text = tell.as_text(self._heading(), self.plan, screen)
        say(text.encode("utf-8", "backslashreplace"))

    def _about(self) -> AboutPlan:
        return {
            "id": self.wanted.id,
            "operation": "create",
            "bundle": self.wanted.bundle,
            "host": self.host.as_dict(),
        }

    def _heading(self) -> list[str]:
        what = f"create {self.wanted.id} from {self.wanted.bundle}"
        return heading(what, self.plan.steps, self.host)


def _to_be_created(options: Options, globals_: Globals) -> Planned:
    if not options.arguments:
        options.arguments.append(DEFAULT_ID)
    config, raw, wanted = prepare(options, globals_, "plan")
    return _planned(config, raw, wanted, globals_)


def stored(container_id: str, globals_: Globals, named: str = "") -> Planned:
    """The plan of a container as it was created: of the configuration that is stored with it.
    ``named`` is the id in the plan, if not its own.
    """
    container = globals_.store.open(check_id(container_id))
    try:
        raw, config = container.read("config.json"), container.config()
        wanted = _request(named or container.id, container.data["bundle"], globals_)
    finally:
        container.close()
    return _planned(config, raw, wanted, globals_)


def _request(container_id: str, bundle: str, globals_: Globals) -> CreateRequest:
    return CreateRequest(
        container_id, globals_.store, bundle, cgroup_manager=globals_.cgroup_manager
    )


def _planned(
    config: Config, raw: bytes, wanted: CreateRequest, globals_: Globals
) -> Planned:
    if (config.get("process") or {}).get("terminal") and not wanted.console_socket:
        # As `run` in the foreground, which needs no socket of the caller's; this number is never
        # used.
        wanted.console_fd = 0
    host = read_host(Kernel())
    if needs_root(config, host):
        globals_.log.warning("planned as for root, who alone can create this container")
        host = as_root(host)
    return Planned(make_plan(config, raw, host, wanted), host, wanted)


def _diff(options: Options, form: str, globals_: Globals) -> int:
    from ociruntime.plan.compare import Side, as_text, compare

    if len(options.arguments) != 2:
        raise UsageError("plan --diff: wants two of bundles, files and containers")
    containers = [text for text in options.arguments if _is_container(text)]
    # The id is the same, so that it makes no difference.
    container_id = containers[0] if containers else DEFAULT_ID
    before, after = (_named(text, container_id, globals_) for text in options.arguments)
    found = compare(
        Side(before.plan.steps, before.wanted.bundle), Side(after.plan.steps, after.wanted.bundle)
    )
    if form == "json":
        document = {"from": options.arguments[0], "to": options.arguments[1]}
        differences = [difference.as_dict() for difference in found]
        text = json.dumps({**document, "differences": differences}, indent=2) + "\n"
    else:
        headings = [f"from {options.arguments[0]}", f"to   {options.arguments[1]}"]
        screen = Screen.of(options.number("width"))
        text = as_text(found, headings, len(after.plan.steps), screen)
    say(text.encode("utf-8", "backslashreplace"))
    return 0


def _is_container(text: str) -> bool:
    """Whether this can only be the id of a container."""
    return "/" not in text and not os.path.exists(text)


def _named(text: str, container_id: str, globals_: Globals) -> Planned:
    """The plan of a bundle, of a configuration's file, or of a container."""
    if _is_container(text):
        return stored(text, globals_, container_id)
    place, name = (text, "config.json") if os.path.isdir(text) else os.path.split(text)
    bundle, raw, config, _ = read_bundle(place or ".", name)
    return _planned(config, raw, _request(container_id, bundle, globals_), globals_)
