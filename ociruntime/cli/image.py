"""ociruntime image show|refresh"""

from __future__ import annotations

import os
import sys

from ociruntime.arguments import parse
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError
from ociruntime.startup import explain, is_embedded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

ACTIONS = ("show", "refresh")
MAKE_IMAGE = "--make-image"  # native/image.h


def main(words: list[str], _globals: Globals) -> int:
    """Say whether commands start from the start image, or make it anew.

    Raises ``OciError`` when it cannot be made; the reason was printed then.
    """
    options = parse(words, {}, {}, stop_at_argument=False, command="image")
    if len(options.arguments) > 1 or not {*options.arguments} <= {*ACTIONS}:
        raise UsageError("image: show (default) or refresh")
    if options.arguments != ["refresh"]:
        say(f"{explain()}\n".encode())
        return 0
    if not is_embedded():
        raise OciError("image refresh: the image is that of the program `ociruntime`; start that")
    front = os.fsencode(sys.executable)
    if os.geteuid() not in (0, os.stat(front).st_uid):
        raise OciError(
            f"image refresh: only an image of root's or of the owner of {sys.executable} is used:"
            " run it as one of them"
        )
    pid = os.posix_spawn(front, [front, MAKE_IMAGE.encode()], os.environ)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise OciError("image refresh: commands go on as before, but more slowly without an image")
    return 0
