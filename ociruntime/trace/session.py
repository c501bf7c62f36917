"""One traced command: it is watched, and its records become a file."""

from __future__ import annotations

import sys

from ociruntime import hostos as os
from ociruntime.errors import OciError, UsageError
from ociruntime.trace.document import document
from ociruntime.trace.probes import Probes
from ociruntime.trace.records import Session, clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.log import Log

# They serve many requests, and close every descriptor that they do not know.
REFUSED = ("shim", "zygote")


def traced(path: str | None, verb: str, log: Log, command: Callable[[], int]) -> int:
    """Carry out ``command`` and write its trace to the file ``path`` (None: none), also when it
    fails; with --debug its steps are told in the log as soon as they are done.

    Returns its status. Raises ``OciError`` before anything was done when the file cannot be
    written; later that is a warning.
    """
    entered = clock()
    if verb in REFUSED:
        raise UsageError(f"--trace: {verb} serves many commands; trace one command instead")
    if path is not None:
        path = os.path.abspath(path)
        try:
            os.close(_create(path))
        except OSError as error:
            raise OciError(
                f"--trace {path}: {error.strerror}; name a file that can be written"
            ) from None
    session = Session()
    if log.debugging:
        from ociruntime.trace.debug import Teller

        session.teller = Teller(session, log)
    probes = Probes(session)
    probes.watch_imports()
    begun = clock()
    began = _stamps(session, entered)
    session.record(entered, begun, "prepare the trace")
    said = ""
    try:
        return command()
    except BaseException as error:
        said = f"\0{error}"
        raise
    finally:
        if os.getpid() == session.pid:
            session.record(began, clock(), f"ociruntime {verb}{said}")
            if path is not None:
                try:
                    _write(path, document(session, verb))
                except OSError as error:
                    log.warning(f"--trace {path}: {error.strerror}")  # noqa: G004


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _write(path: str, text: str) -> None:
    fd = _create(path)
    try:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


# What happened between two moments of the launcher (native/stamps.h).
STARTS = {
    ("launcher", "sealed"): "seal the launcher",
    ("launcher", "found"): "find the package",
    ("sealed", "found"): "find the package",
    ("found", "initialized"): "map the start image",
    ("found", "loaded"): "load libpython",
    ("loaded", "initialized"): "initialize Python",
    ("initialized", "imported"): "import the command line",
}


def _stamps(session: Session, entered: int) -> int:
    """Note what came before ``entered``; the beginning of all."""
    before, moment = "", entered
    began = entered
    for field in getattr(sys, "_stamps", "").split(","):
        name, _, digits = field.partition("=")
        if not digits.isdecimal():
            continue
        now = int(digits)
        if (before, name) in STARTS:
            session.record(moment, now, STARTS[before, name])
        began = min(began, now)
        before, moment = name, now
    if before:
        session.record(moment, entered, "read the command line")
    return began
