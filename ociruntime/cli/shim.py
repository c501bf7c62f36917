"""ociruntime shim: what containerd-shim-ociruntime-v1 runs (docs/shim.md)."""

from __future__ import annotations

from ociruntime.shim.bootstrap import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], globals_: Globals) -> int:
    """Serve containerd's command line: start, delete, -info, -v."""
    return run(words, globals_.log)
