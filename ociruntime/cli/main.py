"""Entry of the command line: global options, the verb, errors."""

from __future__ import annotations

from ociruntime import SPEC_VERSION, __version__
from ociruntime import hostos as os
from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError, unexpected
from ociruntime.kernel._sys import commit
from ociruntime.log import Log
from ociruntime.state.store import Store, default_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.arguments import Options

GLOBAL = {
    "root": VALUE,
    "log": VALUE,
    "log-format": VALUE,
    "log-level": VALUE,
    "debug": FLAG,
    "systemd-cgroup": FLAG,
    "cgroup-manager": VALUE,
    "rootless": VALUE,
    "criu": VALUE,
    "trace": VALUE,
    "help": FLAG,
    "version": FLAG,
}
ALIASES = {"h": "help", "v": "version", "V": "version"}

# verb -> module below ociruntime.cli that serves it
VERBS = {
    "checkpoint": "checkpoint",
    "create": "create",
    "delete": "delete",
    "doctor": "doctor",
    "events": "events",
    "exec": "exec",
    "explain": "explain",
    "features": "features",
    "image": "image",
    "kill": "kill",
    "list": "list",
    "metrics": "metrics",
    "mounts": "mounts",
    "net": "net",
    "pause": "pause",
    "plan": "plan",
    "ps": "ps",
    "restore": "restore",
    "resume": "resume",
    "run": "run",
    "shim": "shim",
    "spec": "spec",
    "start": "start",
    "state": "state",
    "top": "top",
    "trace": "trace",
    "update": "update",
    "validate": "validate",
    "zygote": "zygote",
}
# The commands that execute a plan: --debug tells each of its steps.
STEPPING = ("create", "exec", "run")
EXEC_FAILED = 255


class Globals:
    """The options before the verb."""

    __slots__ = ("cgroup_manager", "criu", "log", "root_is_given", "store")

    def __init__(self, store: Store, log: Log) -> None:
        self.store = store
        self.log = log
        self.cgroup_manager = "cgroupfs"
        self.root_is_given = False
        self.criu: str | None = None


def main(argv: list[str]) -> int:
    """Run the command line ``argv`` (without the program's name) and return the exit status."""
    log = Log()
    verb = ""
    try:
        options = parse(argv, GLOBAL, ALIASES, stop_at_argument=True, command="")
        globals_ = _globals(options, log)
        if options.flag("version"):
            _print(version_text())
            return 0
        if not options.arguments or options.flag("help"):
            from ociruntime.cli.help import overview

            _print(overview(GLOBAL, ALIASES))
            return 0 if options.flag("help") else 1
        verb = options.arguments[0]
        trace = options.text("trace")
        if trace is None and not (log.debugging and verb in STEPPING):
            return _run(verb, options.arguments[1:], globals_)
        from ociruntime.trace.session import traced

        return traced(trace, verb, log, lambda: _run(verb, options.arguments[1:], globals_))
    except OciError as error:
        for line in error.left:
            log.warning(line)
        log.error(str(error))
        return EXEC_FAILED if verb == "exec" else error.exit_status
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last resort: one line, no traceback
        log.error(_why_lost(error) or unexpected(error))
        return EXEC_FAILED if verb == "exec" else 1


def _why_lost(error: Exception) -> str | None:
    """Nothing is loaded for errors that need nothing: files may be what is short."""
    if not isinstance(error, ImportError):
        return None
    from ociruntime.startup import without_library

    return without_library()


def _run(verb: str, words: list[str], globals_: Globals) -> int:
    if verb in ("help", "--help"):
        from ociruntime.cli.help import overview

        _print(overview(GLOBAL, ALIASES))
        return 0
    module = VERBS.get(verb)
    if module is None:
        from ociruntime.cli.help import suggest

        raise UsageError(f"unknown command {verb!a}{suggest(verb)}; see `ociruntime --help`")
    # __import__ returns the top package; the submodule is in sys.modules then.
    package = __import__(f"ociruntime.cli.{module}", None, None, ["main"])
    if _asks_help(verb, words):
        from ociruntime.cli.help import usage

        _print(usage(verb, package))
        return 0
    status: int = package.main(words, globals_)
    return status


def _asks_help(verb: str, words: list[str]) -> bool:
    """Whether --help is meant for us: what follows the id belongs to the program of ``exec`` and to
    ps(1).
    """
    ours = words[:1] if verb in ("exec", "ps") else words
    return "--help" in ours or words[:1] == ["-h"]


def _globals(options: Options, log: Log) -> Globals:
    log.debugging = options.flag("debug") or options.text("log-level") == "debug"
    log.form = options.text("log-format") or "text"
    if log.form not in ("text", "json"):
        form, log.form = log.form, "text"
        raise UsageError(f"--log-format {form}: use text or json")
    text = options.text("log") or ""
    log.path = _log_file(text)
    if text.startswith(("journald:", "syslog:")):
        from ociruntime.logsink import sink_of

        log.path, log.sink = text, sink_of(text)
    log.open()
    if log.debugging:
        from ociruntime.startup import explain

        log.debug(explain())
    root = options.text("root")
    if root is not None and _is_top(root):
        raise UsageError("--root must not be /; name a directory of its own")
    result = Globals(Store(os.path.abspath(root or default_root())), log)
    result.root_is_given = root is not None
    result.criu = options.text("criu")
    manager = options.text("cgroup-manager")
    if manager not in (None, "cgroupfs", "systemd", "disabled"):
        raise UsageError(f"--cgroup-manager {manager}: use cgroupfs, systemd or disabled")
    result.cgroup_manager = "systemd" if options.flag("systemd-cgroup") else manager or "cgroupfs"
    rootless = options.text("rootless")
    if rootless not in (None, "true", "false", "auto"):
        raise UsageError(f"--rootless {rootless}: use true, false or auto")
    return result


def _is_top(path: str) -> bool:
    """Whether this is the root directory under any name."""
    try:
        found, top = os.stat(path), os.stat("/")
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) == (top.st_dev, top.st_ino)


def _log_file(text: str | None) -> str | None:
    """The file of --log; crun's ``file:`` prefix is understood."""
    if not text:
        return None
    return os.path.abspath(text.removeprefix("file:"))


def version_text() -> str:
    """What --version prints: engines look for the words ``version`` and ``commit:``."""
    return f"ociruntime version {__version__}\ncommit: {commit}\nspec: {SPEC_VERSION}\n"


def _print(text: str) -> None:
    say(text.encode())
