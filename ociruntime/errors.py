"""Every error a user can meet, and nothing else.

    OciError                      one line for a person, exit status 1
     +- UsageError                the command line is wrong
     +- SpecError                 the bundle or its config.json is wrong
     +- PlanError                 the config is right but this host cannot do it
     +- StepError                 the kernel refused a step of the plan
     +- HookError                 a hook failed
     +- StateError                the container is not in the state the command needs
         +- NotFound
         +- AlreadyExists
         +- WrongStatus

The texts in NOT_EXIST, NOT_RUNNING, ALREADY_EXISTS and PROCESS_FINISHED are matched literally by
containerd's shim, dockerd and podman; they may be surrounded by more words but never change.
"""

from __future__ import annotations

import errno as _errno
from posix import strerror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The C library's words that docker and podman look for, to tell 126 and 127 from other failures.
MATCHED = frozenset({_errno.ENOENT, _errno.EACCES, _errno.EPERM})

NOT_EXIST = "container does not exist"
NOT_RUNNING = "container not running"
ALREADY_EXISTS = "container with given ID already exists"
PROCESS_FINISHED = "os: process already finished"


# Characters of a message: a hostile name fills neither the terminal nor the engine's log.
LONGEST = 900


class OciError(Exception):
    """Base of all errors: ``str(error)`` is one line that names the thing and the cure.

    ``left`` has a line for each thing that was made before, and could not be taken back.
    """

    exit_status = 1
    left: Sequence[str] = ()

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(OciError):
    """The command line cannot be understood."""


class SpecError(OciError):
    """The bundle or its config.json breaks a rule.

    Parameters: ``message`` says what is wrong in one line; ``pointer`` is the RFC 6901 JSON pointer
    of the faulty value; ``rule`` names the section of the specification; ``value`` is the offending
    value as JSON text; ``hint`` is the cure.
    """

    def __init__(
        self, message: str, pointer: str = "", rule: str = "", value: str = "", hint: str = ""
    ) -> None:
        super().__init__(message)
        self.pointer = pointer
        self.rule = rule
        self.value = value
        self.hint = hint


class PlanError(OciError):
    """The config asks for something that this host or this caller cannot give.

    Parameters: ``message`` says what; ``pointer`` as in ``SpecError``; ``hint`` is the cure, which
    becomes part of the message.
    """

    def __init__(self, message: str, pointer: str = "", hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.pointer = pointer


class StepError(OciError):
    """A step of the plan failed.

    Parameters: ``step`` is the step's own words for the thing it works on (``mounts[3] /dev/pts
    (devpts)``); ``number`` the errno, 0 when the kernel was not the one to refuse; ``detail`` what
    is known beyond the errno.
    """

    def __init__(self, step: str, number: int, detail: str = "") -> None:
        super().__init__(f"{step}: {explain_errno(number, detail)}")
        self.step = step
        self.number = number
        self.detail = detail


class HookError(OciError):
    """A hook could not be run, failed or took too long."""


class StateError(OciError):
    """The container cannot do this now."""


class NotFound(StateError):
    """There is no such container."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"{NOT_EXIST}: {container_id}")


class AlreadyExists(StateError):
    """Another container has this id."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"{ALREADY_EXISTS}: {container_id}; delete it first or choose another id")


class WrongStatus(StateError):
    """The operation is not allowed in the container's present status."""


def one_line(text: str) -> str:
    """``text`` without line breaks or other control characters and cut to LONGEST: a hostile name
    cannot forge a log line.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 200]} ... {text[-190:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return " " if character in "\n\r\t" else ascii(character)[1:-1]


def errno_name(number: int) -> str:
    """``EINVAL`` for 22."""
    return _errno.errorcode.get(number, f"errno {number}")


def explain_errno(number: int, detail: str = "") -> str:
    """The errno's name with the best words for it: ``detail`` when there is one, else the C
    library's; both where engines look for the latter.
    """
    if not number:
        return detail
    words = strerror(number).lower()
    if number == _errno.EMFILE and not detail:
        detail = f"{words}; raise the caller's limit of open files (ulimit -n)"
    if detail and number in MATCHED and words not in detail.lower():
        detail = f"{detail} ({words})"
    return f"{errno_name(number)}: {detail or words}"


def unexpected(error: BaseException) -> str:
    """A fault of ours: no traceback, but enough to find the place. Lack of memory is none."""
    if isinstance(error, MemoryError):
        return (
            "not enough memory for the runtime itself: raise the limits that the caller set "
            "(RLIMIT_AS, RLIMIT_DATA, its cgroup's), or free some"
        )
    if isinstance(error, OSError) and error.errno in (_errno.EMFILE, _errno.ENFILE):
        return f"the runtime itself: {explain_errno(_errno.EMFILE)}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        code = trace.tb_frame.f_code
        name = code.co_filename.rpartition("/")[2]
        where = f" in {name}:{trace.tb_lineno}"
    return f"internal error{where}: {type(error).__name__}: {error}; please report it"
