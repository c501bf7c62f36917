"""Why a program or a file cannot be used: what the caller may not see is not called missing."""

from __future__ import annotations

from ociruntime import hostos as os


def why(path: str) -> str:
    """The system's words: ``permission denied``, ``no such file or directory``, ..."""
    try:
        os.stat(path)
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return "permission denied"


def any_denied(paths: list[str]) -> str:
    """The first of these that the caller may not see or execute, "" if they are just not there."""
    return next((path for path in paths if why(path) == "permission denied"), "")
