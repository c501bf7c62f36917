"""ociruntime spec [--bundle DIR] [--config FILE] [--rootless] [--from-image CONFIG]
[--rootfs DIR] [--hostname NAME]
[--net bridge|NAME|FILE|host|none|container:ID]... [--publish [IP:]HOST:CONTAINER[/udp]]... [--etc]
[-- COMMAND [ARGUMENT...]]
"""

from __future__ import annotations

import os
import sys

from ociruntime.arguments import FLAG, LIST, VALUE, parse
from ociruntime.errors import OciError, UsageError
from ociruntime.jsontext import dumps
from ociruntime.spec.default import default_config, rootless_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.arguments import Options
    from ociruntime.cli.main import Globals

OPTIONS = {
    "bundle": VALUE,
    "config": VALUE,
    "rootless": FLAG,
    "from-image": VALUE,
    "rootfs": VALUE,
    "hostname": VALUE,
    "net": LIST,
    "publish": LIST,
    "etc": FLAG,
    "net-state": VALUE,
}
ALIASES = {"b": "bundle", "f": "config", "file": "config", "p": "publish"}


def main(words: list[str], globals_: Globals) -> int:
    """Write a config.json to begin with; a file that is there already is never touched."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="spec")
    command = words[words.index("--") + 1 :] if "--" in words else []
    if options.arguments != command:
        raise UsageError(
            "spec: takes no arguments; name the bundle's directory with --bundle, and write a "
            "command behind --"
        )
    name = options.text("config") or "config.json"
    path = os.path.join(options.text("bundle") or ".", name)
    if options.flag("rootless"):
        config = rootless_config(os.geteuid(), os.getegid())
    else:
        config = default_config()
    if options.text("rootfs"):
        config["root"]["path"] = options.text("rootfs")
    if options.text("hostname"):
        config["hostname"] = options.text("hostname")
    if options.text("from-image"):
        _take_image(config, options, globals_)
    if command:
        config["process"].update(args=command, terminal=False)
    if options.texts("net"):
        _add_networks(config, options, globals_)
    elif options.texts("publish") or options.flag("etc"):
        raise UsageError("spec: --publish and --etc need --net; use --net bridge")
    write_new(path, name, (dumps(config, 4) + "\n").encode())
    return 0


def _take_image(config: dict[str, Any], options: Options, globals_: Globals) -> None:
    from ociruntime.spec.image import apply_image, read_image

    path = options.text("from-image") or ""
    rootfs = os.path.join(options.text("bundle") or ".", config["root"]["path"])
    for name in apply_image(config, read_image(path), path, rootfs):
        warning = (
            f"--from-image {path}: the label {name} is left out: as an annotation it would change "
            "what the host does; write it into config.json yourself if you want that"
        )
        globals_.log.warning(warning)


def _add_networks(config: dict[str, Any], options: Options, globals_: Globals) -> None:
    from ociruntime.network.configure import HOOK, Wish, configure
    from ociruntime.network.files import STATE_DIRECTORY

    if options.flag("rootless"):
        raise UsageError("spec: --net needs root; a rootless container has the host's network")
    wish = Wish(
        options.texts("net"),
        options.texts("publish"),
        options.text("hostname") or "",
        options.text("net-state") or STATE_DIRECTORY,
        etc=options.flag("etc"),
    )
    hook = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), HOOK)
    configure(config, wish, hook, options.text("bundle") or ".", globals_.store)


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
