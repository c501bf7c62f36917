"""What a program wants to tell apart and a command line need not: errors by their cause.

    OciError
     +- ProgramNotFound           process.args[0] is not in the container
     +- PermissionDenied          the kernel refuses the caller or the process (EACCES, EPERM)
     +- Timeout                   also a TimeoutError: says what was waited for

A step or a state that is refused stays a ``StepError`` or ``StateError``, too.
"""

from __future__ import annotations

import errno

from ociruntime.errors import OciError, StateError, StepError

DENIED = (errno.EACCES, errno.EPERM)
# How errors about the program begin, and what they end with: engines know these words.
PROGRAM = 'exec: "'
ABSENT = ("executable file not found in $PATH", "no such file or directory")
REFUSED = "permission denied"


class ProgramNotFound(OciError):
    """The program is not in the container, or nowhere in its $PATH."""


class PermissionDenied(OciError):
    """The kernel refuses the caller, or the container's process."""


class DeniedStep(StepError, PermissionDenied):
    """A step that the kernel refuses the caller."""


class DeniedState(StateError, PermissionDenied):
    """A state directory that is somebody else's."""


class Timeout(OciError, TimeoutError):
    """What was waited for did not happen in time; ``waited_for`` names it, ``seconds`` is how long
    that was. Nothing has ended because of it.
    """

    def __init__(self, waited_for: str, seconds: float) -> None:
        super().__init__(f"{waited_for}: not within {seconds:g} s")
        self.waited_for = waited_for
        self.seconds = seconds


def refined(error: BaseException) -> BaseException:
    """``error`` as the class that says its cause, with the same words; itself where none does."""
    found = _class_of(error)
    if found is None:
        return error
    # Not by its constructor: the text is complete already.
    made = found.__new__(found, *error.args)
    vars(made).update(vars(error))
    return made


def _class_of(error: BaseException) -> type[OciError] | None:
    text = str(error)
    if isinstance(error, StepError):
        return DeniedStep if error.number in DENIED else None
    if isinstance(error, StateError):
        denied = any(f"{errno.errorcode[number]}:" in text for number in DENIED)
        return DeniedState if type(error) is StateError and denied else None
    if type(error) is OciError and PROGRAM in text:
        if any(words in text for words in ABSENT):
            return ProgramNotFound
        return PermissionDenied if REFUSED in text else None
    return None
