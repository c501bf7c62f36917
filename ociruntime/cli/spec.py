"""ociruntime spec [--bundle DIR] [--config FILE] [--rootless]"""

from __future__ import annotations

import os

from ociruntime.cli.options import FLAG, VALUE, parse
from ociruntime.errors import OciError, UsageError
from ociruntime.jsontext import dumps
from ociruntime.spec.default import default_config, rootless_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"bundle": VALUE, "config": VALUE, "rootless": FLAG}
ALIASES = {"b": "bundle", "f": "config"}


def main(words: list[str], _globals: Globals) -> int:
    """Write a config.json to begin with; a file that is there already is never touched."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="spec")
    if options.arguments:
        raise UsageError("spec: takes no arguments; name the bundle's directory with --bundle")
    name = options.text("config") or "config.json"
    path = os.path.join(options.text("bundle") or ".", name)
    if options.flag("rootless"):
        config = rootless_config(os.geteuid(), os.getegid())
    else:
        config = default_config()
    write_new(path, name, (dumps(config, 4) + "\n").encode())
    return 0


def write_new(path: str, name: str, content: bytes) -> None:
    """Write ``content`` to the new file ``path``, all of it or nothing. Raises ``OciError``,
    calling it ``name``.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o644)
    except FileExistsError:
        raise OciError(f"File {name} exists. Remove it first") from None
    except OSError as error:
        raise OciError(
            f"{path}: {error.strerror}; name a directory that you may write with --bundle"
        ) from None
    try:
        while content:
            content = content[os.write(fd, content) :]
    except OSError as error:
        os.unlink(path)
        raise OciError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)
