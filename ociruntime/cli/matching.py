"""Containers by regular expression: --regex of kill and delete, as crun has it."""

from __future__ import annotations

import re

from ociruntime.errors import OciError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cli.main import Globals


def for_each(globals_: Globals, pattern: str, act: Callable[[str], object], verb: str) -> int:
    """Call ``act`` with every id that ``pattern`` is found in; what fails is logged, and the others
    are served all the same.

    Returns the exit status, 1 when something failed. Raises ``UsageError`` for a bad pattern.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{verb}: --regex {pattern!a}: {error}") from None
    status = 0
    for container_id in globals_.store.ids():
        if not wanted.search(container_id):
            continue
        try:
            act(container_id)
        except OciError as error:
            globals_.log.error(f"{container_id}: {error}")  # noqa: G004
            status = 1
    return status
