"""ociruntime plan [--format text|json] [options of create] [ID]"""

from __future__ import annotations

from ociruntime.cli.create import ALIASES as CREATE_ALIASES
from ociruntime.cli.create import OPTIONS as CREATE_OPTIONS
from ociruntime.cli.create import prepare
from ociruntime.cli.options import VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.create import make_plan
from ociruntime.plan.explain import as_json, as_text
from ociruntime.plan.host import as_root, read_host
from ociruntime.plan.namespaces import needs_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {**CREATE_OPTIONS, "format": VALUE}
ALIASES = CREATE_ALIASES
FORMATS = ("text", "json")
# Where the id does not matter, the plan needs one all the same.
DEFAULT_ID = "container"


def main(words: list[str], globals_: Globals) -> int:
    """Print the steps that ``create`` would take on this host, and take none of them.

    They are this caller's steps; where only root could take them, root's.
    """
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="plan")
    form = options.text("format") or "text"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use text or json")
    if not options.arguments:
        options.arguments.append(DEFAULT_ID)
    config, raw, wanted = prepare(options, globals_, "plan")
    if (config.get("process") or {}).get("terminal") and not wanted.console_socket:
        # As `run` in the foreground, which needs no socket of the caller's; this number is never
        # used.
        wanted.console_fd = 0
    host = read_host(Kernel())
    if needs_root(config, host):
        globals_.log.warning("planned as for root, who alone can create this container")
        host = as_root(host)
    plan = make_plan(config, raw, host, wanted)
    text = as_text(plan, host, wanted) if form == "text" else as_json(plan, host, wanted)
    say(text.encode("utf-8", "backslashreplace"))
    return 0
