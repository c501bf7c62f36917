"""ociruntime ps [--format table|json] ID [PS OPTIONS]"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.arguments import VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError
from ociruntime.jsontext import dumps
from ociruntime.lifecycle.processes import processes
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"format": VALUE}
ALIASES = {"f": "format"}
FORMATS = ("table", "json")
DEFAULT_PS_OPTIONS = ["-ef"]
# Columns of several words. ps(1) keeps them to their width when others follow, so that positions
# can be trusted to the right of them; elsewhere a number that is too long moves all that follows,
# and counting words is safer.
HOLDS_BLANKS = frozenset({"CMD", "COMMAND", "STARTED"})


def main(words: list[str], globals_: Globals) -> int:
    """Print the container's processes, with the pids of the caller's PID namespace."""
    # Everything behind the id belongs to ps(1).
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=True, command="ps")
    form = options.text("format") or "table"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use table or json")
    if not options.arguments:
        raise UsageError("ps: wants a container id; see `ociruntime ps --help`")
    container_id, *ps_options = options.arguments
    if ps_options[:1] == ["--"]:
        del ps_options[0]
    pids = processes(globals_.store.open(check_id(container_id)))
    if form == "json":
        text = dumps(pids) + "\n"
    else:
        text = select(run_ps(ps_options or DEFAULT_PS_OPTIONS), pids)
    say(text.encode("utf-8", "surrogateescape"))
    return 0


def run_ps(options: list[str]) -> str:
    """What the host's ps(1) prints; raises ``OciError`` with its own words when it fails."""
    import subprocess

    try:
        done = subprocess.run(
            ["ps", *options], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise OciError(
            "ps: no such program on this host; install procps or use --format json"
        ) from None
    except OSError as error:
        raise OciError(f"ps: {error.strerror}") from None
    if done.returncode != 0:
        words = os.fsdecode(done.stderr).strip().split("\n")[0]
        raise OciError(f"ps {' '.join(options)}: exit status {done.returncode}: {words}")
    return os.fsdecode(done.stdout)


def select(output: str, pids: list[int]) -> str:
    """The header of ps's ``output`` and the lines of ``pids``."""
    header, *lines = output.split("\n")
    titles = header.split()
    if "PID" not in titles:
        raise OciError("ps: its output has no column PID; add pid to the columns that you ask for")
    column = titles.index("PID")
    # A number ends below the end of its title.
    end = next(
        end for end in range(len(header) + 1) if header[:end].split() == titles[: column + 1]
    )
    aligned = not HOLDS_BLANKS.isdisjoint(titles[:column])
    wanted = {str(pid) for pid in pids}
    chosen = [header]
    for line in lines:
        field = line[:end].split()[-1:] if aligned else line.split(None, column + 1)[column:][:1]
        if field and field[0] in wanted:
            chosen.append(line)
    return "\n".join(chosen) + "\n"
