"""ociruntime features"""

from __future__ import annotations

from ociruntime.arguments import parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.features import features
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS: dict[str, str] = {}


def main(words: list[str], _globals: Globals) -> int:
    """Print what the runtime can do, as JSON (features.md)."""
    options = parse(words, OPTIONS, {}, stop_at_argument=False, command="features")
    if options.arguments:
        raise UsageError("features: takes no arguments")
    say((dumps(features(), 4) + "\n").encode())
    return 0
