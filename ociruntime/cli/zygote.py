"""ociruntime zygote: the resident process of the library, which starts it (ociruntime.zygote)."""

from __future__ import annotations

import os
from stat import S_ISSOCK

from ociruntime.cli.main import main as command
from ociruntime.errors import UsageError
from ociruntime.zygote.client import CONTROL_FD
from ociruntime.zygote.server import main as serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], _globals: Globals) -> int:
    """Serve the program that executed us, on the socket that it left as descriptor 3."""
    try:
        given = S_ISSOCK(os.fstat(CONTROL_FD).st_mode)
    except OSError:
        given = False
    if words or not given:
        raise UsageError("zygote: only for programs that use ociruntime.api; see docs/api.md")
    return serve(CONTROL_FD, command)
