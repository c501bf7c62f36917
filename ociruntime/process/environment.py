"""Plan: process.env, as the process gets it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def settled(env: Iterable[str]) -> list[str]:
    """``env`` with one entry for each name, the last (as in runc and crun), and without an empty
    HOME, which counts as not given (as in runc).

    Of two entries getenv(3) would find the first and most shells the last: a program and its
    children would not agree.
    """
    kept: dict[str, str] = {}
    for entry in reversed(list(env)):
        kept.setdefault(entry.partition("=")[0], entry)
    if kept.get("HOME") == "HOME=":
        del kept["HOME"]
    return list(kept.values())[::-1]
