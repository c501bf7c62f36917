"""ociruntime net ls | inspect [NAME|ID] | check [NAME|FILE]... | gc [--state DIR]

And, for the programs ociruntime-net, ociruntime-bridge and ociruntime-ipam: net hook, net plugin.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"state": VALUE}
ACTIONS = ("ls", "inspect", "check", "gc")


def main(words: list[str], globals_: Globals) -> int:
    """Show or clean up networks; the exit status is 1 when gc or check found something wrong."""
    if words[:1] == ["hook"]:
        from ociruntime.network.hook import main as hook

        return hook(words[1:])
    if words[:1] == ["plugin"] and len(words) > 1:
        from ociruntime.network.plugin import serve

        return serve(words[1])
    options = parse(words, OPTIONS, {}, stop_at_argument=False, command="net")
    action, *names = options.arguments or ["ls"]
    most = {"inspect": 1, "check": len(names)}.get(action, 0)
    if action not in ACTIONS or len(names) > most:
        raise UsageError(f"net {' '.join(options.arguments)}: use net {', net '.join(ACTIONS)}")
    from ociruntime.network.attachments import Attachments
    from ociruntime.network.files import STATE_DIRECTORY

    attachments = Attachments(os.path.abspath(options.text("state") or STATE_DIRECTORY))
    if action == "gc":
        from ociruntime.network.gc import collect_garbage

        removed, problems = collect_garbage(attachments)
        text = "".join(f"removed {line}\n" for line in removed)
    elif action == "check":
        from ociruntime.network.invoke import default_path
        from ociruntime.network.report import check_all, check_ready

        problems = check_ready(names, default_path()) if names else check_all(attachments)
        text = ""
    else:
        from ociruntime.network.report import inspect, table

        problems = []
        if action == "ls":
            text = table(attachments)
        else:
            text = dumps(inspect(attachments, names[0] if names else ""), 4) + "\n"
    say(text.encode("utf-8", "backslashreplace"))
    for problem in problems:
        globals_.log.error(problem)
    return 1 if problems else 0
